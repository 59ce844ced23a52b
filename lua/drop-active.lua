-- Removes an active id that has no task: nothing can be run or kept.
--
--@takes 2 2
-- KEYS: active, lease
-- ARGV: prefix of the queue's task keys, id
-- Result: 1 (dropped), 0 (it has a message by now)
-- Bound: one task; the active list is searched from its old end
local task = ARGV[1] .. ARGV[2]
if type(redis.pcall('HGET', task, 'msg')) == 'string' then
    return 0
end
redis.call('LREM', KEYS[1], -1, ARGV[2])
redis.call('ZREM', KEYS[2], ARGV[2])
if redis.call('TYPE', task).ok == 'hash' then
    redis.call('DEL', task)
end
return 1
