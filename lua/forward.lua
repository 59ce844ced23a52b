-- Moves tasks that are due from `scheduled` or `retry` to `pending`, or back to their group.
--
--@takes 3 6
-- KEYS: source, pending, groups
-- ARGV: prefix of the queue's task keys, prefix of its group keys, now (s, may have a fraction), now (whole s), now (ns), most
-- Result: number moved, score of the next task in the source ("" when it is empty), ids that had no task
-- Bound: 64 tasks
local source, pending, groups = KEYS[1], KEYS[2], KEYS[3]
local task_prefix, group_prefix = ARGV[1], ARGV[2]
local due, now, now_ns, max = ARGV[3], ARGV[4], ARGV[5], ARGV[6]

local ids = redis.call('ZRANGEBYSCORE', source, '-inf', due, 'LIMIT', 0, max)
local to_pending, dropped = {}, {}
if #ids > 0 then
    redis.call('LLEN', pending)
    redis.call('ZREM', source, unpack(ids))
end
for _, id in ipairs(ids) do
    local task = task_prefix .. id
    local fields = redis.call('HMGET', task, 'group', 'msg')
    local group = fields[1]
    if not fields[2] then
        redis.call('DEL', task)
        dropped[#dropped + 1] = id
    elseif group and group ~= '' then
        redis.call('ZADD', group_prefix .. group, now, id)
        redis.call('SADD', groups, group)
        redis.call('HSET', task, 'state', 'aggregating')
    else
        to_pending[#to_pending + 1] = id
        redis.call('HSET', task, 'state', 'pending', 'pending_since', now_ns)
    end
end
if #to_pending > 0 then
    redis.call('LPUSH', pending, unpack(to_pending))
end
local next_due = redis.call('ZRANGE', source, 0, 0, 'WITHSCORES')
return { #ids, next_due[2] or '', dropped }
