-- Looks at tasks quickly: does each stand where its state says? Changes nothing.
--
--@takes 5 2+
-- KEYS: lease, scheduled, retry, archived, completed
-- ARGV: prefix of the queue's task keys, prefix of its group keys, ids
-- Result: for each task 0 (it has gone), 1 (yes), 2 (it seems not), 3 (it should stand in a list, which takes long to
--         search), and its message (nil: none)
-- Bound: the ids given (64)
local lease = KEYS[1]
local task_prefix, group_prefix = ARGV[1], ARGV[2]
local sets = { scheduled = KEYS[2], retry = KEYS[3], archived = KEYS[4], completed = KEYS[5] }

local function stands_in(set, id)
    return type(redis.pcall('ZSCORE', set, id)) == 'string'
end

local function look(id, state, group)
    if state == 'pending' then
        return stands_in(lease, id) and 2 or 3
    elseif state == 'active' then
        return stands_in(lease, id) and 3 or 2
    end
    local set = sets[state] or (state == 'aggregating' and group and group_prefix .. group)
    return set and stands_in(set, id) and not stands_in(lease, id) and 1 or 2
end

local result = {}
for i = 3, #ARGV do
    local task = task_prefix .. ARGV[i]
    local fields = redis.pcall('HMGET', task, 'state', 'group', 'msg')
    local verdict
    if fields.err then
        verdict = 2
    elseif not fields[1] and not fields[3] and redis.call('EXISTS', task) == 0 then
        verdict = 0
    else
        verdict = fields[3] and look(ARGV[i], fields[1], fields[2]) or 2
    end
    result[#result + 1] = verdict
    result[#result + 1] = fields[3] or false
end
return result
