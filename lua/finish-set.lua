-- Ends an aggregation: enqueues the aggregated task and deletes the tasks of the set, both or neither. A set that is no
-- longer in the list has been taken back into its group meanwhile.
--
--@takes 2..6 4+
-- KEYS: the set, list of aggregation sets, then, if there is a task: pending, scheduled, groups, the task
-- ARGV: prefix of the queue's task keys, prefix of its group keys, now (s), now (ns), then of the task: id, message, kind
--       (p, s, g), score (s), lock ("" for none), life of the lock (s), group
-- Result: 1 (enqueued, or there was no task), 0 (the id exists), -1 (another task holds the lock), 2 (taken back)
-- Bound: up to 200 tasks are deleted here; a larger set is only marked as done, and clear-set deletes it
--
--@include new-task
--@include done-set
local set, sets = KEYS[1], KEYS[2]
local task_prefix, group_prefix = ARGV[1], ARGV[2]

if not redis.call('ZSCORE', sets, set) then
    return 2
end
if #ARGV > 4 then
    local result = create_task({ unpack(KEYS, 3) }, group_prefix, { ARGV[3], ARGV[4] }, { unpack(ARGV, 5) })
    if result ~= 1 then
        return result
    end
end
if redis.call('ZCARD', set) > 200 then
    redis.call('RENAME', set, set .. done_suffix)
    redis.call('ZADD', sets, done_score, set .. done_suffix)
else
    for _, member in ipairs(redis.call('ZRANGE', set, 0, -1)) do
        redis.call('DEL', task_prefix .. member)
    end
    redis.call('DEL', set)
end
redis.call('ZREM', sets, set)
return 1
