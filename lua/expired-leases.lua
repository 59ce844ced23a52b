-- Lists tasks whose lease ended long ago. Changes nothing.
--
--@takes 1 6
-- KEYS: lease
-- ARGV: prefix of the queue's task keys, now (s), how long ago (s), first, most, bytes of messages
--       after which to stop
-- Result: of each id, score, message (nil if there is none), and how often the task was lost before
-- Bound: 64 leases, and one message beyond the bytes asked for
--@include sure-now
local result = {}
local bytes, max_bytes = 0, tonumber(ARGV[6])
local cutoff = sure_now(ARGV[2]) - ARGV[3]
local found = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', cutoff, 'WITHSCORES', 'LIMIT', ARGV[4], ARGV[5])
for i = 1, #found, 2 do
    result[#result + 1] = found[i]
    result[#result + 1] = found[i + 1]
    local task = redis.pcall('HMGET', ARGV[1] .. found[i], 'msg', 'lost')
    local message = not task.err and task[1]
    result[#result + 1] = message
    result[#result + 1] = not task.err and tonumber(task[2] or nil) or 0
    bytes = bytes + #(message or '')
    if bytes >= max_bytes then
        break
    end
end
return result
