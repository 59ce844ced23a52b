-- Writes a task that was read from somewhere, as it was.
--
--@takes 3 8
-- KEYS: the task, container, groups
-- ARGV: id, type of the container ("list" or "zset"), its score there, state, msg, result ("": none),
--       pending since (ns), group ("": none)
-- Result: 1 (done), 0 (the id exists)
-- Bound: one task
local id, state, group = ARGV[1], ARGV[4], ARGV[8]
if redis.call('EXISTS', KEYS[1]) == 1 then
    return 0
end
if ARGV[2] == 'list' then
    redis.call('RPUSH', KEYS[2], id) -- what is read comes newest first
else
    redis.call('ZADD', KEYS[2], ARGV[3], id)
end
if state == 'aggregating' then
    redis.call('SADD', KEYS[3], group)
end
redis.call('HSET', KEYS[1], 'msg', ARGV[5], 'state', state)
if state == 'pending' then
    redis.call('HSET', KEYS[1], 'pending_since', ARGV[7])
elseif state == 'aggregating' then
    redis.call('HSET', KEYS[1], 'group', group)
end
if ARGV[6] ~= '' then
    redis.call('HSET', KEYS[1], 'result', ARGV[6])
end
return 1
