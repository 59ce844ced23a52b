-- Takes aggregation sets whose time is over back into their groups.
--
--@takes 2 3
-- KEYS: list of aggregation sets, list of groups
-- ARGV: prefix of the queue's group keys, now (s), most sets
-- Result: 1 if there is more to do, then names of the sets that were taken back
-- Bound: 500 tasks, beside sets that are renamed as a whole because their group has no task. What is begun with gets
--        another name at once, as whoever worked on it must not finish what is left
--
--@include sure-now
local sets, groups = KEYS[1], KEYS[2]
local group_prefix = ARGV[1]
local back_suffix, left = '-back', 500

local function list_group(group)
    if string.sub(group, 1, #group_prefix) == group_prefix then
        redis.call('SADD', groups, string.sub(group, #group_prefix + 1))
    end
end

-- Moves as many tasks as may be moved. The older of two times is right, as the task waits since then.
local function move(set, group)
    local members = redis.call('ZRANGE', set, 0, left - 1, 'WITHSCORES')
    local pairs_to_add, ids = {}, {}
    for i = 1, #members, 2 do
        pairs_to_add[i], pairs_to_add[i + 1] = members[i + 1], members[i]
        ids[#ids + 1] = members[i]
    end
    redis.call('ZADD', group, 'LT', unpack(pairs_to_add))
    redis.call('ZREM', set, unpack(ids))
    left = left - #ids
end

-- True: all of it is back, or there is nothing.
local function take_back(set, score)
    local group, is_begun = string.match(set, '^(.*):'), string.sub(set, -#back_suffix) == back_suffix
    if not group or redis.call('EXISTS', set) == 0 then
        return true
    elseif redis.call('EXISTS', group) == 0 then
        redis.call('RENAME', set, group)
        list_group(group)
        return true
    end
    list_group(group)
    if redis.call('ZCARD', set) > left and not is_begun then
        redis.call('RENAME', set, set .. back_suffix)
        redis.call('ZREM', sets, set)
        set = set .. back_suffix
        redis.call('ZADD', sets, score, set)
    end
    move(set, group)
    return redis.call('EXISTS', set) == 0
end

local result = { 0 }
local found = redis.call('ZRANGEBYSCORE', sets, '-inf', sure_now(ARGV[2]), 'WITHSCORES', 'LIMIT', 0, ARGV[3])
for i = 1, #found, 2 do
    if left <= 0 or not take_back(found[i], found[i + 1]) then
        result[1] = 1
        return result
    end
    redis.call('ZREM', sets, found[i])
    result[#result + 1] = found[i]
end
result[1] = #found / 2 == tonumber(ARGV[3]) and 1 or 0
return result
