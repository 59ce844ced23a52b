-- Reads tasks of an aggregation set, in the order in which they joined the group.
--
--@takes 1 4
-- KEYS: the set
-- ARGV: prefix of the queue's task keys, first place, last place, bytes of messages after which to stop
-- Result: number of tasks in the set (0: there is none), then id and message of each; "" for a message that is missing
-- Bound: the places asked for (64), and one message beyond the bytes
local result = { redis.call('ZCARD', KEYS[1]) }
local bytes, max_bytes = 0, tonumber(ARGV[4])
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], ARGV[2], ARGV[3])) do
    local message = redis.call('HGET', ARGV[1] .. id, 'msg') or ''
    result[#result + 1] = id
    result[#result + 1] = message
    bytes = bytes + #message
    if bytes >= max_bytes then
        break
    end
end
return result
