-- Replaces the message of a scheduled task, if nobody has changed it meanwhile.
--
--@takes 1 2
-- KEYS: the task
-- ARGV: message as it was read, new message
-- Result: 1 (done), 0 (there is no such task), -1 (it is not scheduled), -2 (it has changed)
-- Bound: one task
local fields = redis.call('HMGET', KEYS[1], 'state', 'msg')
if not fields[1] then
    return 0
elseif fields[1] ~= 'scheduled' then
    return -1
elseif fields[2] ~= ARGV[1] then
    return -2
end
redis.call('HSET', KEYS[1], 'msg', ARGV[2])
return 1
