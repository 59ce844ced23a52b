-- Deletes completed tasks whose retention is over.
--
--@takes 1 3
-- KEYS: completed
-- ARGV: prefix of the queue's task keys, now (s), most
-- Result: number deleted, score of the next task to expire ("" when there is none)
-- Bound: the tasks asked for (1,000)
--@include sure-now
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', sure_now(ARGV[2]), 'LIMIT', 0, ARGV[3])
if #ids > 0 then
    redis.call('ZREM', KEYS[1], unpack(ids))
    for _, id in ipairs(ids) do
        redis.call('DEL', ARGV[1] .. id)
    end
end
local next_due = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
return { #ids, next_due[2] or '' }
