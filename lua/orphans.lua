-- Looks through a part of the active list for tasks that have no lease. Changes nothing.
--
--@takes 2 2
-- KEYS: active, lease
-- ARGV: first and last place to look at
-- Result: places looked at, then ids without lease
-- Bound: 64 places
local ids = redis.call('LRANGE', KEYS[1], ARGV[1], ARGV[2])
local result = { #ids }
for _, id in ipairs(ids) do
    if not redis.call('ZSCORE', KEYS[2], id) then
        result[#result + 1] = id
    end
end
return result
