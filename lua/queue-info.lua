-- What a queue holds, in one look.
--
--@takes 13 1
-- KEYS: pending, active, scheduled, retry, archived, completed, groups, paused, processed, failed, processed today,
--       failed today, aggregation sets
-- ARGV: prefix of the queue's task keys
-- Result: sizes of the first seven in their order, 1 if paused, processed, failed, processed today, failed today,
--         pending_since of the task that is next to run (nil: unknown, or no task), tasks that are being aggregated
-- Bound: one element of each container, and the sizes of 100 aggregation sets
local result = {}
for i = 1, 2 do
    result[i] = redis.call('LLEN', KEYS[i])
end
for i = 3, 6 do
    result[i] = redis.call('ZCARD', KEYS[i])
end
result[7] = redis.call('SCARD', KEYS[7])
result[8] = redis.call('EXISTS', KEYS[8])
for i = 9, 12 do
    result[i] = redis.call('GET', KEYS[i]) or 0
end
local next_id = redis.call('LINDEX', KEYS[1], -1)
result[13] = next_id and redis.call('HGET', ARGV[1] .. next_id, 'pending_since') or false

--@include done-set
result[14] = 0
local sets = redis.pcall('ZRANGEBYSCORE', KEYS[13], '-inf', '(' .. done_score, 'LIMIT', 0, 100)
for _, set in ipairs(sets) do
    local size = redis.pcall('ZCARD', set)
    result[14] = result[14] + (type(size) == 'number' and size or 0)
end
return result
