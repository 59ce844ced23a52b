-- Runs, archives or deletes tasks of one queue by hand: those whose ids are given, or the first ones of a container.
--
--@takes 6..7 8+
-- KEYS: pending, scheduled, retry, archived, completed, groups,
--       and, if no ids are given, the container to take tasks from
-- ARGV: prefix of the queue's task keys, prefix of its group keys, what to do (run, archive, delete), now (s), now (ns),
--       how long archived tasks are kept (s), most archived tasks to keep,
--       without ids: type of the container ("list" or "zset"), how many to pass over, how many to take;
--       otherwise "ids", about where the first of them stands in `pending` ("": unknown), and the ids
-- Result: tasks that left the archive because it was full, then for each task what came of it: 1 (done),
--         0 (there is no such task), -1 (it is active), -2 (it is pending already), -3 (it is archived already),
--         -4 (it does not stand where its state says), -5 (its state is unknown), -6 (it is pending, but neither near an
--         end of the list nor where it was said to be: find-pending tells where)
-- Bound: 64 tasks, 2,000 places of `pending`, and 512 archived tasks that go. Redis can only walk to what leaves the
--        middle of a list. So a pending task that is far from both ends leaves its place to the newest one
local pending, archived, groups = KEYS[1], KEYS[4], KEYS[6]
local task_prefix, group_prefix, what = ARGV[1], ARGV[2], ARGV[3]
local now, now_ns = ARGV[4], ARGV[5]
local archive_life, archive_max = ARGV[6], tonumber(ARGV[7])
local sets = { scheduled = KEYS[2], retry = KEYS[3], archived = KEYS[4], completed = KEYS[5] }
local refused = {
    run = { active = -1, pending = -2 },
    archive = { active = -1, archived = -3 },
    delete = { active = -1 },
}

local ids = {}
-- Where the ids stand in `pending`, counted from the right end (1: next to run), which no newer task shifts.
local places = {}
if ARGV[8] == 'zset' then
    ids = redis.call('ZRANGE', KEYS[7], ARGV[9], ARGV[9] + ARGV[10] - 1)
elseif ARGV[8] == 'list' then
    local found = redis.call('LRANGE', KEYS[7], -ARGV[9] - ARGV[10], -ARGV[9] - 1)
    for i = #found, 1, -1 do
        ids[#ids + 1] = found[i]
        places[found[i]] = ARGV[9] + #ids
    end
else
    ids = { unpack(ARGV, 10) }
end

-- ---- out of the pending tasks ----

local near_end = 1000
local has_left, is_to_be_sought = {}, {}

local function find_places(wanted)
    local length = redis.call('LLEN', pending)
    local function look(first, last)
        for i, id in ipairs(redis.call('LRANGE', pending, first, last)) do
            if wanted[id] then
                places[id] = length - (first + i - 1)
            end
        end
    end
    if length <= 2 * near_end then
        look(0, length - 1)
    elseif ARGV[8] == 'ids' and ARGV[9] ~= '' then
        look(math.max(0, ARGV[9] - near_end / 2), ARGV[9] + near_end)
    elseif ARGV[8] == 'ids' then
        look(0, near_end - 1)
        look(length - near_end, length - 1)
    end
    return length
end

-- Those farthest from the right end first: then what leaves shifts none of the others.
local function leave_pending(wanted)
    local length, found = find_places(wanted), {}
    for id in pairs(wanted) do
        if places[id] then
            found[#found + 1] = id
        end
        is_to_be_sought[id] = not places[id] and length > 2 * near_end
    end
    table.sort(found, function(a, b)
        return places[a] > places[b]
    end)
    for _, id in ipairs(found) do
        local place = places[id]
        if redis.call('LINDEX', pending, -place) ~= id then
            has_left[id] = false
        elseif place <= near_end then
            has_left[id] = redis.call('LREM', pending, -1, id) > 0
        elseif length - place < near_end then
            has_left[id] = redis.call('LREM', pending, 1, id) > 0
        else
            redis.call('LSET', pending, -place, redis.call('LPOP', pending))
            has_left[id] = true
        end
        length = has_left[id] and length - 1 or length
    end
end

local function leave_pending_if_wanted()
    local wanted, any = {}, false
    for _, id in ipairs(ids) do
        if what ~= 'run' and redis.call('HGET', task_prefix .. id, 'state') == 'pending' then
            wanted[id], any = true, true
        end
    end
    if any then
        leave_pending(wanted)
    end
end

-- Takes a task out of the place that its state names. False: it does not stand there.
local function take_out(task, id, state)
    if state == 'pending' then
        local left = has_left[id]
        has_left[id] = nil
        return left
    elseif state ~= 'aggregating' then
        return redis.call('ZREM', sets[state], id) > 0
    end
    local group = redis.call('HGET', task, 'group')
    if not group or redis.call('ZREM', group_prefix .. group, id) == 0 then
        return false
    end
    if redis.call('EXISTS', group_prefix .. group) == 0 then
        redis.call('SREM', groups, group)
    end
    return true
end

local function read_varint(text, at)
    local value, scale = 0, 1
    repeat
        local byte = string.byte(text, at) or 0
        value, scale, at = value + byte % 128 * scale, scale * 128, at + 1
    until byte < 128
    return value, at
end

-- Field 10 of the message: the lock. Tasks that entered a group through Go have it only there.
local function lock_in_message(message)
    local at, lock = 1, ''
    while at <= #message do
        local tag, length
        tag, at = read_varint(message, at)
        local wire = tag % 8
        if wire == 0 then
            length, at = read_varint(message, at)
        elseif wire == 2 then
            length, at = read_varint(message, at)
            if tag == 82 then
                lock = string.sub(message, at, at + length - 1)
            end
            at = at + length
        else
            return '' -- no field of a task has another form
        end
    end
    return lock
end

local function release_lock(task, id)
    local lock = redis.call('HGET', task, 'unique_key')
    if not lock or lock == '' then
        lock = lock_in_message(redis.call('HGET', task, 'msg') or '')
    end
    if lock ~= '' and redis.pcall('GET', lock) == id then
        redis.call('DEL', lock)
    end
end

local put = {
    run = function(task, id)
        redis.call('LPUSH', pending, id)
        redis.call('HSET', task, 'state', 'pending', 'pending_since', now_ns)
        redis.call('HDEL', task, 'lost')
    end,
    archive = function(task, id)
        redis.call('ZADD', archived, now, id)
        redis.call('HSET', task, 'state', 'archived')
        redis.call('HDEL', task, 'pending_since')
    end,
    delete = function(task, id)
        release_lock(task, id)
        redis.call('DEL', task)
    end,
}

leave_pending_if_wanted()
local result = { 0 }
for _, id in ipairs(ids) do
    local task = task_prefix .. id
    local state = redis.call('HGET', task, 'state')
    local code
    if not state and redis.call('EXISTS', task) == 0 then
        code = 0
    elseif refused[what][state] then
        code = refused[what][state]
    elseif state ~= 'pending' and state ~= 'aggregating' and not sets[state] then
        code = -5
    elseif state == 'pending' and is_to_be_sought[id] then
        code = -6
    elseif not take_out(task, id, state) then
        code = -4
    else
        put[what](task, id)
        code = 1
    end
    result[#result + 1] = code
end

if what == 'archive' and #ids > 0 then
    --@include trim
    result[1] = trim_archive(archived, task_prefix, now, archive_life, archive_max, {})
end
return result
