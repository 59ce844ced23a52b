-- Looks at tasks closely, each as a whole at one moment, and repairs them if asked.
--
--@takes 10 10+
-- KEYS: pending, active, lease, scheduled, retry, archived, completed, groups, aggregation sets, quarantine
-- ARGV: prefix of the queue's keys, of its task keys, of its group keys, of what is in quarantine, now (s), now (ns),
--       end of a new lease (s), most archived tasks, life of the quarantine (s), "1" to repair,
--       then for each task: id, a container it was seen in ("": none), "1" if it was seen there twice,
--       "1" if its message is unreadable, that message, its group as the message says, end of its retention (s; ""),
--       "1" to search lists for it that its state does not name, which takes long
-- Result: for each task what is wrong ("": nothing), where it stands, its state (""), what was done ("")
-- Bound: 16 tasks; the lists of the queue are searched for each, so the caller gives fewer the longer they are
--
-- A key of the wrong type holds nothing here; check-keys is for that. No task is ever deleted.
local pending, active, lease = KEYS[1], KEYS[2], KEYS[3]
local groups, staged, quarantine = KEYS[8], KEYS[9], KEYS[10]
local key_prefix, task_prefix, group_prefix, quarantined_prefix = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local now, now_ns, lease_end = ARGV[5], ARGV[6], ARGV[7]
local archive_max, quarantine_life, repairs = tonumber(ARGV[8]), ARGV[9], ARGV[10] == '1'
local key_of = { active = active, pending = pending, scheduled = KEYS[4], retry = KEYS[5], archived = KEYS[6],
    completed = KEYS[7] }
-- A task that stands in several places keeps the first of these, unless its state names one of them.
local order = { 'active', 'pending', 'retry', 'scheduled', 'archived', 'completed' }

--@include quarantine
local function begins_with(text, start)
    return string.sub(text, 1, #start) == start
end

-- ---- where a task stands ----

local function places_in(state, key, id, max)
    local places = {}
    if state == 'active' or state == 'pending' then
        for _ in ipairs(ask('LPOS', key, id, 'COUNT', max) or {}) do
            places[#places + 1] = { state = state, key = key, is_list = true }
        end
    elseif ask('ZSCORE', key, id) then
        places[1] = { state = state, key = key }
    end
    return places
end

local function places_in_groups(task, id)
    local places, tried = {}, {}
    local function try(key, group)
        if not tried[key] then
            tried[key] = true
            if ask('ZSCORE', key, id) then
                places[#places + 1] = { state = 'aggregating', key = key, group = group }
            end
        end
    end
    for _, group in ipairs(task.groups) do
        try(group_prefix .. group, group)
    end
    for _, key in ipairs(#task.groups > 0 and ask('ZRANGE', staged, 0, -1) or {}) do
        local group = string.match(string.sub(key, #group_prefix + 1), '^(.*):')
        for _, own in ipairs(task.groups) do
            if group == own then
                try(key, group)
            end
        end
    end
    return places
end

local function find_places(task, id, is_repeated)
    local places = {}
    for _, state in ipairs(order) do
        local is_list = state == 'active' or state == 'pending'
        if not is_list or task.state == state or task.is_in_list then
            for _, place in ipairs(places_in(state, key_of[state], id, is_repeated and 2 or 1)) do
                places[#places + 1] = place
            end
        end
    end
    for _, place in ipairs(places_in_groups(task, id)) do
        places[#places + 1] = place
    end
    return places
end

local function describe(places)
    local texts = {}
    for i, place in ipairs(places) do
        texts[i] = place.group and 'group ' .. place.group or place.state
    end
    return table.concat(texts, ' and ')
end

-- ---- repair ----

local function leave(place, id, max)
    if place.is_list then
        redis.call('LREM', place.key, max, id)
    else
        redis.call('ZREM', place.key, id)
    end
    if place.group and redis.call('EXISTS', group_prefix .. place.group) == 0 then
        ask('SREM', groups, place.group)
    end
end

local function set_aside(task, id, places, why)
    for _, place in ipairs(places) do
        leave(place, id, 0)
    end
    ask('ZREM', lease, id)
    local from = #places > 0 and ' in ' .. describe(places) or ''
    return set_key_aside(task.key, key_prefix, quarantined_prefix, quarantine, { now, now_ns, quarantine_life },
        why .. from)
end

local function put_in_set(id, state, score)
    if not ask('ZADD', key_of[state], score, id) then
        return
    end
    redis.call('HSET', task_prefix .. id, 'state', state)
    return 'put into ' .. state
end

-- Each tells what was done; nothing, if a key of the wrong type is in the way.
local put = {}
function put.pending(_, id)
    if not ask('LPUSH', pending, id) then
        return
    end
    redis.call('HSET', task_prefix .. id, 'state', 'pending', 'pending_since', now_ns)
    return 'put into pending'
end
function put.archived(task, id)
    if (ask('ZCARD', key_of.archived) or 0) >= archive_max then
        return set_aside(task, id, {}, 'task-in-no-set (archived, but the archive is full)')
    end
    return put_in_set(id, 'archived', now)
end
function put.completed(task, id)
    return put_in_set(id, 'completed', task.keep_until ~= '' and task.keep_until or now + 86400)
end
function put.aggregating(task, id)
    local group = task.groups[1]
    if not group then
        return put.pending(task, id)
    elseif not ask('ZADD', group_prefix .. group, now, id) then
        return
    end
    ask('SADD', groups, group)
    redis.call('HSET', task_prefix .. id, 'state', 'aggregating', 'group', group)
    return 'put into group ' .. group
end
-- When a scheduled task was due nobody knows any more: that is for a person to decide.
put.scheduled = put.archived
put.active, put.retry = put.pending, put.pending

local function put_somewhere(task, id)
    ask('ZREM', lease, id)
    local by_message = task.keep_until ~= '' and 'completed' or 'pending'
    return put[put[task.state] and task.state or by_message](task, id)
end

-- ---- one task ----

local function choose_place(task, places)
    for _, wanted in ipairs({ task.has_lease and 'active' or '', task.state or '' }) do
        for _, place in ipairs(places) do
            if place.state == wanted then
                return place
            end
        end
    end
    return places[1]
end

local function leave_others(places, kept, id)
    local left = {}
    for _, place in ipairs(places) do
        if place ~= kept and place.key == kept.key then
            leave(place, id, 1)
        elseif place ~= kept and not left[place.key] then
            left[place.key] = true
            leave(place, id, 0)
        end
    end
end

local function correct_fields(task, id, place)
    local fields = { 'state', place.state }
    if place.group then
        fields[3], fields[4] = 'group', place.group
    elseif place.state == 'pending' and redis.call('HEXISTS', task.key, 'pending_since') == 0 then
        fields[3], fields[4] = 'pending_since', now_ns
    end
    redis.call('HSET', task.key, unpack(fields))
    if place.state == 'active' then
        ask('ZADD', lease, 'NX', lease_end, id)
    else
        ask('ZREM', lease, id)
    end
end

local function fault_of(task, places, kept)
    if #places > 1 then
        return 'task-twice', 'removed from all but ' .. describe({ kept })
    elseif task.state ~= kept.state or (kept.group and task.group ~= kept.group) then
        return 'wrong-state', 'state set to ' .. kept.state
    elseif kept.state == 'active' and not task.has_lease then
        return 'active-without-lease', 'lease renewed'
    elseif kept.state ~= 'active' and task.has_lease then
        return 'lease-without-active', 'lease removed'
    end
end

-- What is wrong with a task that has a message, where it stands, and how it was repaired.
local function check_task(task, id, is_repeated)
    local places = find_places(task, id, is_repeated)
    local where, done = describe(places), ''
    if task.why then
        return task.why, where, repairs and set_aside(task, id, places, task.why)
    elseif #places == 0 and task.has_lease and task.state == 'active' then
        if repairs and ask('LPUSH', active, id) then
            done = 'put into active'
        end
        return 'lease-without-active', where, done
    elseif #places == 0 then
        return 'task-in-no-set', where, repairs and put_somewhere(task, id)
    end
    local kept = choose_place(task, places)
    local fault, repaired = fault_of(task, places, kept)
    if fault and repairs then
        leave_others(places, kept, id)
        correct_fields(task, id, kept)
        done = repaired
    end
    return fault, where, done
end

-- An id without a task: it can only leave.
local function check_ghost(id, container)
    local state = container == pending and 'pending' or container == active and 'active' or 'set'
    if container == '' or #places_in(state, container, id, 1) == 0 then
        return
    end
    local where = string.sub(container, #key_prefix + 1)
    if not repairs then
        return 'member-without-task', where
    end
    local group = begins_with(container, group_prefix) and string.sub(container, #group_prefix + 1)
    leave({ key = container, is_list = state ~= 'set', group = group }, id, 0)
    if state == 'active' then
        ask('ZREM', lease, id)
    elseif container == lease then
        ask('LREM', active, 0, id)
    end
    return 'member-without-task', where, 'id removed'
end

local function read_task(id, container, bad_message, group_in_message, keep_until)
    local task = { key = task_prefix .. id, groups = {}, keep_until = keep_until }
    local fields = redis.pcall('HMGET', task.key, 'state', 'group', 'msg')
    if fields.err then
        task.why = 'wrong-type'
        fields = {}
    elseif not fields[3] then
        task.why = 'unreadable-task'
    elseif fields[3] == bad_message then
        task.why = 'unreadable-task'
    end
    task.state, task.group = fields[1] or nil, fields[2] or nil
    task.has_lease = ask('ZSCORE', lease, id) and true
    local seen_in = begins_with(container, group_prefix) and string.sub(container, #group_prefix + 1) or ''
    if seen_in ~= '' and ask('ZSCORE', staged, container) then
        seen_in = string.match(seen_in, '^(.*):') or ''
    end
    for _, group in ipairs({ fields[2] or '', group_in_message, seen_in }) do
        if group ~= '' then
            task.groups[#task.groups + 1] = group
        end
    end
    return task
end

local result = {}
for at = 11, #ARGV, 8 do
    local id, container = ARGV[at], ARGV[at + 1]
    local fault, where, done, state
    if redis.call('EXISTS', task_prefix .. id) == 0 then
        fault, where, done = check_ghost(id, container)
    else
        local bad_message = ARGV[at + 3] == '1' and ARGV[at + 4]
        local task = read_task(id, container, bad_message, ARGV[at + 5], ARGV[at + 6])
        task.is_in_list = ARGV[at + 7] == '1'
        fault, where, done = check_task(task, id, ARGV[at + 2] == '1')
        state = task.state
    end
    result[#result + 1] = fault or ''
    result[#result + 1] = where or ''
    result[#result + 1] = state or ''
    result[#result + 1] = done or ''
end
return result
