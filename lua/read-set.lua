-- Reads tasks of an aggregation set, in the order in which they joined the group.
--
-- KEYS: the set
-- ARGV: prefix of the queue's task keys, first place, last place
-- Result: number of tasks in the set (0: there is none), then id and message of each; "" for a message that is missing
local result = { redis.call('ZCARD', KEYS[1]) }
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], ARGV[2], ARGV[3])) do
    result[#result + 1] = id
    result[#result + 1] = redis.call('HGET', ARGV[1] .. id, 'msg') or ''
end
return result
