-- Finds the tasks of a lease whose reply was lost. Changes nothing.
--
--@takes 1 2
-- KEYS: lease
-- ARGV: prefix of the queue's task keys, score of that lease
-- Result: id and message of each task, oldest first
-- Bound: the tasks of one lease (64)
local result = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], ARGV[2], ARGV[2])) do
    result[#result + 1] = id
    result[#result + 1] = redis.call('HGET', ARGV[1] .. id, 'msg')
end
return result
