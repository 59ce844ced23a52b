-- Deletes tasks of a large aggregation set that is finished, until none is left.
--
--@takes 1 1
-- KEYS: list of aggregation sets
-- ARGV: prefix of the queue's task keys
-- Result: 1 if there is more to do
-- Bound: 200 tasks
--
--@include done-set
local sets = KEYS[1]
local set = redis.call('ZRANGEBYSCORE', sets, done_score, done_score, 'LIMIT', 0, 1)[1]
if not set then
    return 0
end
local ids = redis.call('ZRANGE', set, 0, 199)
for _, id in ipairs(ids) do
    redis.call('DEL', ARGV[1] .. id)
end
if #ids > 0 then
    redis.call('ZREM', set, unpack(ids))
end
if redis.call('ZCARD', set) == 0 then
    redis.call('ZREM', sets, set)
end
return redis.call('ZCOUNT', sets, done_score, done_score) > 0 and 1 or 0
