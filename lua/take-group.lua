-- Forms an aggregation set of a group, if it is time.
--
--@takes 4 6
-- KEYS: the group, list of groups, list of aggregation sets, the new set
-- ARGV: name of the group, now (s), grace period (s), longest delay (s; 0: none), most tasks (0: any number),
--       time limit of the aggregation (Unix s)
-- Result: number of tasks in the set, number of those left in the group, when it is due if nothing else joins it (Unix s;
--         0: at once), 1 if the set is to have more: then the call is made again, with the same set
-- Bound: a group that is taken as a whole is renamed; of others 500 tasks are moved in a call
--
--@include group-due
local group, groups, sets, set = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local name, now, time_limit = ARGV[1], tonumber(ARGV[2]), ARGV[6]
local limits = { grace = tonumber(ARGV[3]), longest = tonumber(ARGV[4]), max = tonumber(ARGV[5]) }
local max_at_once = 500

local taken = redis.call('ZCARD', set)
if taken > 0 and not redis.call('ZSCORE', sets, set) then
    return { 0, 0, 0, 0 } -- it was taken back meanwhile
end
local size, due = group_due(group, limits)
if size == 0 then
    redis.call('SREM', groups, name)
    return { taken, 0, 0, 0 }
elseif taken == 0 and due > now then
    return { 0, size, due, 0 }
end

local wanted = limits.max > 0 and math.min(size, limits.max - taken) or size
local count = math.min(wanted, max_at_once)
if taken == 0 and wanted == size then
    count = size
    redis.call('RENAME', group, set)
elseif count > 0 then
    local members = redis.call('ZRANGE', group, 0, count - 1, 'WITHSCORES')
    local pairs_to_add, ids = {}, {}
    for i = 1, #members, 2 do
        pairs_to_add[i], pairs_to_add[i + 1] = members[i + 1], members[i]
        ids[#ids + 1] = members[i]
    end
    redis.call('ZADD', set, unpack(pairs_to_add))
    redis.call('ZREM', group, unpack(ids))
end
if count == size then
    redis.call('SREM', groups, name)
end
redis.call('ZADD', sets, time_limit, set)
return { taken + count, size - count, 0, count < wanted and 1 or 0 }
