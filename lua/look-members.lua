-- Walks over a container of tasks and picks those that deserve a closer look. Changes nothing.
--
--@takes 1 7+
-- KEYS: container
-- ARGV: prefix of the queue's task keys, prefix of its group keys, type of the container ("list" or "zset"), state of
--       its tasks, where to go on (at first "0"), how many, "1" to tell of all tasks, and to go on in a list: ids that
--       stood directly before
-- Result: where to go on ("0": that was all), then for each task (or only the suspects) its id, and 1 if it has no
--         message, another state, or another group
-- Bound: 100 members, 1,200 places of a list around the last one
local container = KEYS[1]
local task_prefix, group_prefix, state, from, count = ARGV[1], ARGV[2], ARGV[4], ARGV[5], tonumber(ARGV[6])

-- The set of an aggregation is named after its group, with a colon and more behind.
local function is_of_group(group)
    local start = group_prefix .. (group or '')
    return container == start or string.sub(container, 1, #start + 1) == start .. ':'
end

local function is_suspect(id)
    local fields = redis.pcall('HMGET', task_prefix .. id, 'state', 'msg', 'group')
    return fields[1] ~= state or not fields[2] or (state == 'aggregating' and not is_of_group(fields[3]))
end

local ids, result = {}, {}
if ARGV[3] == 'list' then
    if #ARGV > 7 then
        --@include behind
        from = rank_behind_in_list(container, tonumber(from), 8)
    end
    ids = redis.call('LRANGE', container, from, from + count - 1)
    result[1] = #ids < count and '0' or tostring(from + #ids)
else
    local found = redis.call('ZSCAN', container, from, 'COUNT', count)
    result[1] = found[1]
    for i = 1, #found[2], 2 do
        ids[#ids + 1] = found[2][i]
    end
end
for _, id in ipairs(ids) do
    local suspect = is_suspect(id)
    if suspect or ARGV[7] == '1' then
        result[#result + 1] = id
        result[#result + 1] = suspect and 1 or 0
    end
end
return result
