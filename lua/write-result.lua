-- Stores the result of a task that is running, if its lease is still the caller's.
--
--@takes 2 3
-- KEYS: lease, the task
-- ARGV: id, tag of the lease, result
-- Result: 1 (stored), 0 (no lease, or no such task), -1 (the lease belongs to somebody else)
-- Bound: one task
--@include tag
local score = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or nil)
if not score or redis.call('HEXISTS', KEYS[2], 'msg') == 0 then
    return 0
elseif tag_of(score) ~= tonumber(ARGV[2]) then
    return -1
end
redis.call('HSET', KEYS[2], 'result', ARGV[3])
return 1
