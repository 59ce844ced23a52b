-- Lists leases of servers in Go that end soon or have ended: a live server would have renewed them. Changes nothing.
--
--@takes 1 4
-- KEYS: lease
-- ARGV: now (s), how soon (s), how long ago (s), most
-- Result: the time (s), then id and score of each
-- Bound: the number asked for (256), and as many leases of other servers among them
--@include sure-now
--@include tag
local now = sure_now(ARGV[1])
local found = redis.call('ZRANGEBYSCORE', KEYS[1], now - ARGV[3], now + ARGV[2], 'WITHSCORES', 'LIMIT', 0, ARGV[4])
local result = { now }
for i = 1, #found, 2 do
    if tag_of(tonumber(found[i + 1])) == 0 then
        result[#result + 1] = found[i]
        result[#result + 1] = found[i + 1]
    end
end
return result
