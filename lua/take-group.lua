-- Forms an aggregation set of a group, if it is time.
--
-- KEYS: the group, list of groups, list of aggregation sets, the new set
-- ARGV: name of the group, now (s), grace period (s), longest delay (s; 0: none), most tasks (0: any number),
--       time limit of the aggregation (Unix s)
-- Result: number of tasks taken, number of those left, and when the group is due if nothing else joins it (Unix s; 0: at
--         once)
local group, groups, sets, set = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local name, now, grace = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local longest, most, time_limit = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]

local size = redis.call('ZCARD', group)
if size == 0 then
    redis.call('SREM', groups, name)
    return { 0, 0, 0 }
end
local oldest = tonumber(redis.call('ZRANGE', group, 0, 0, 'WITHSCORES')[2])
local newest = tonumber(redis.call('ZRANGE', group, -1, -1, 'WITHSCORES')[2])
local due = newest + grace
if longest > 0 then
    due = math.min(due, oldest + longest)
end
if most > 0 and size >= most then
    due = 0
end
if due > now then
    return { 0, size, due }
end

local count = most > 0 and math.min(size, most) or size
if count == size then
    redis.call('RENAME', group, set)
    redis.call('SREM', groups, name)
else
    for first = 0, count - 1, 1000 do
        local step = math.min(1000, count - first)
        local members = redis.call('ZRANGE', group, 0, step - 1, 'WITHSCORES')
        local pairs_to_add, ids = {}, {}
        for i = 1, #members, 2 do
            pairs_to_add[i], pairs_to_add[i + 1] = members[i + 1], members[i]
            ids[#ids + 1] = members[i]
        end
        redis.call('ZADD', set, unpack(pairs_to_add))
        redis.call('ZREM', group, unpack(ids))
    end
end
redis.call('ZADD', sets, time_limit, set)
return { count, size - count, 0 }
