-- Reads one task.
--
--@takes 6 1
-- KEYS: the task, scheduled, retry, archived, completed, lease
-- ARGV: id
-- Result: nil if there is no such task, otherwise state, score in the container of that state or in the lease set, msg,
--         result, pending_since (nil where absent), how often it was lost
-- Bound: one task
local fields = redis.call('HMGET', KEYS[1], 'state', 'msg', 'result', 'pending_since', 'lost')
if redis.call('EXISTS', KEYS[1]) == 0 then
    return false
end
local containers = { scheduled = KEYS[2], retry = KEYS[3], archived = KEYS[4], completed = KEYS[5], active = KEYS[6] }
local container = containers[fields[1] or '']
local score = container and redis.call('ZSCORE', container, ARGV[1]) or false
return { fields[1], score, fields[2], fields[3], fields[4], tonumber(fields[5] or nil) or 0 }
