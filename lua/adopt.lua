-- Gives an active task that nobody holds a lease for a lease in the past, so that recovery takes it like any other.
--
--@takes 2 3
-- KEYS: active, lease
-- ARGV: score, about where it stands, id
-- Result: 1 (adopted), 0 (it has a lease, or stands elsewhere by now: the next scan finds it)
-- Bound: 1,000 places of the active list
local first = math.max(0, ARGV[2] - 500)
for _, id in ipairs(redis.call('LRANGE', KEYS[1], first, first + 999)) do
    if id == ARGV[3] then
        return redis.call('ZADD', KEYS[2], 'NX', ARGV[1], id)
    end
end
return 0
