-- Ends leases whose servers are gone, so that recovery takes the tasks at its next look.
--
--@takes 1 3+
-- KEYS: lease
-- ARGV: new score, long ago (s), then id and score of each lease as it was seen
-- Result: how many were still so
-- Bound: 64 leases
local ended = 0
for i = 2, #ARGV, 2 do
    if redis.call('ZSCORE', KEYS[1], ARGV[i]) == ARGV[i + 1] then
        redis.call('ZADD', KEYS[1], 'XX', ARGV[1], ARGV[i])
        ended = ended + 1
    end
end
return ended
