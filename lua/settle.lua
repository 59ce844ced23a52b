-- Ends the attempts of n active tasks of one queue, each in its own way.
--
--@takes 10 5+
-- KEYS: active, lease, pending, completed, retry, archived, processed, failed, processed today, failed today
-- ARGV: prefix of the queue's task keys, now (s), expiry of today's counters (Unix s),
--       how long archived tasks are kept (s), most archived tasks to keep, now (ns),
--       then groups. A group is: way, fence, end of the active list to search (1 head, -1 tail), n,
--       and n times what the way takes:
--         done      id
--         unlock    id, lock                                done, and the lock is released if this task holds it
--         complete  id, lock, message, result, expiry (s)
--         retry     id, message, result, retry at (s)       a failure
--         again     id, message, result, retry at (s)       not counted as a failure
--         archive   id, message, result
--         requeue   id, result
--         lost      id                                      put back from a server that is gone, and counted
--       An empty lock or result means none. The fence is the tag of the lease, or the whole score with "=" in front.
-- Result: for each task 1 (done), 0 (not active, or without lease), -1 (the lease belongs to somebody else)
-- Bound: 64 tasks, 16 times as many places from an end of the active list, and for those that stand elsewhere all of it;
--        512 archived tasks that go
--
-- What fails its tests is left exactly as it was. The first write of the script is a removal: a full Redis drains; and
-- before it, keys of a wrong type stop the script. Tasks that are simply done are most of the work, so what only the
-- others need is not even defined for them: a chunk costs half as much as with a function for each step.
local active, lease = KEYS[1], KEYS[2]
local task_prefix, now, counters_expire = ARGV[1], ARGV[2], ARGV[3]
local archive_life, archive_max, now_ns = ARGV[4], tonumber(ARGV[5]), ARGV[6]
local width = { done = 1, unlock = 2, complete = 5, retry = 4, again = 4, archive = 3, requeue = 2, lost = 1 }

-- The groups, and the ids of all tasks one after the other.
local groups, ids = {}, {}
local at = 7
while at <= #ARGV do
    local group = { way = ARGV[at], fence = ARGV[at + 1], from_end = ARGV[at + 2], first = #ids + 1, at = at + 4 }
    group.last = #ids + tonumber(ARGV[at + 3])
    group.width = width[group.way]
    at = at + 4
    for i = group.first, group.last do
        ids[i] = ARGV[at]
        at = at + group.width
    end
    groups[#groups + 1] = group
end

--@include tag
-- Whose lease is still ours? An id that is given twice counts once.
local results, wanted, left = {}, {}, 0
local scores = redis.call('ZMSCORE', lease, unpack(ids))
for _, group in ipairs(groups) do
    local exact = string.match(group.fence, '^=(.*)')
    local fence = tonumber(exact or group.fence)
    group.is_lost = exact
    for i = group.first, group.last do
        local score = tonumber(scores[i] or nil)
        local result = 1
        if not score or wanted[ids[i]] then
            result = 0
        elseif (exact and score or tag_of(score)) ~= fence then
            result = -1
        else
            wanted[ids[i]] = true
            left = left + 1
        end
        results[i] = result
    end
end

-- Types that a write below would trip over.
local total = tonumber(redis.call('GET', KEYS[7]) or 0) or 0
for _, group in ipairs(groups) do
    local way = group.way
    if way == 'complete' then
        redis.call('ZCARD', KEYS[4])
    elseif way == 'retry' or way == 'again' then
        redis.call('ZCARD', KEYS[5])
    elseif way == 'archive' then
        redis.call('ZCARD', KEYS[6])
    elseif way == 'requeue' or way == 'lost' then
        redis.call('LLEN', KEYS[3])
    end
end

-- Out of the active list. Tasks that were taken together stand together in it, and near one of its ends unless they
-- took long. From there they leave at once, and what stood between them and the end is put back, unless that is much
-- more than they are. The others are searched one by one.
local newest = #ids
local function remove_together()
    while not wanted[ids[newest]] do
        newest = newest - 1
    end
    local near_end = groups[1].from_end
    local place = redis.call('LPOS', active, ids[newest], 'RANK', near_end, 'MAXLEN', 16 * left)
        or redis.call('LPOS', active, ids[newest], 'RANK', -near_end, 'MAXLEN', 16 * left)
    if not place then
        return false
    end
    local from_head, from_tail = place + left, redis.call('LLEN', active) - place
    local is_tail = from_tail < from_head
    local members = is_tail and redis.call('LRANGE', active, -from_tail, -1)
        or redis.call('LRANGE', active, 0, from_head - 1)
    local at, step = 1, 1
    if is_tail then
        at, step = #members, -1
    end

    local seen, found, others = 0, {}, {}
    while #found < left and seen < #members do
        local id = members[at]
        if wanted[id] then
            wanted[id] = nil
            found[#found + 1] = id
        else
            others[#others + 1] = id
        end
        seen, at = seen + 1, at + step
    end
    if #others > 16 * #found then
        for i = 1, #found do
            wanted[found[i]] = true
        end
        return false
    end

    left = left - #found
    redis.call('LTRIM', active, is_tail and 0 or seen, is_tail and -seen - 1 or -1)
    if #others > 0 then
        local back = {}
        for i = #others, 1, -1 do
            back[#back + 1] = others[i]
        end
        redis.call(is_tail and 'RPUSH' or 'LPUSH', active, unpack(back))
    end
    return true
end

while left > 1 and remove_together() do
end
if left > 0 then
    for _, group in ipairs(groups) do
        for i = group.first, group.last do
            local id = ids[i]
            if results[i] == 1 and wanted[id] and redis.call('LREM', active, group.from_end, id) == 0 then
                results[i] = 0
            end
        end
    end
end

local processed, failed = 0, 0
local ended, hashes = {}, {}

-- All ways but "done", after the ids have left the active list and the lease set.
local function settle_otherwise()
    local containers = { complete = KEYS[4], retry = KEYS[5], again = KEYS[5], archive = KEYS[6] }
    local archived_now = {}

    -- The name of the lock is what the message says: it may be of another type, forbidden, or in another slot.
    local function release(lock, id)
        if lock ~= '' and redis.pcall('GET', lock) == id then
            redis.call('DEL', lock)
        end
    end

    local function write(id, state, message, result)
        local fields = { 'state', state }
        if message then
            fields[3], fields[4] = 'msg', message
        end
        if result ~= '' then
            fields[#fields + 1] = 'result'
            fields[#fields + 1] = result
        end
        redis.call('HSET', task_prefix .. id, unpack(fields))
    end

    -- Returns whether there is a task.
    local function put_back(id)
        redis.call('RPUSH', KEYS[3], id)
        local is_there = redis.call('EXISTS', task_prefix .. id) == 1
        if is_there then
            redis.call('HSET', task_prefix .. id, 'pending_since', now_ns)
        end
        return is_there
    end

    -- `place` is where the id stands in ARGV.
    local ways = {
        unlock = function(id, place)
            redis.call('DEL', task_prefix .. id)
            release(ARGV[place + 1], id)
            processed = processed + 1
        end,
        complete = function(id, place)
            redis.call('ZADD', containers.complete, ARGV[place + 4], id)
            write(id, 'completed', ARGV[place + 2], ARGV[place + 3])
            release(ARGV[place + 1], id)
            processed = processed + 1
        end,
        retry = function(id, place)
            redis.call('ZADD', containers.retry, ARGV[place + 3], id)
            write(id, 'retry', ARGV[place + 1], ARGV[place + 2])
            processed, failed = processed + 1, failed + 1
        end,
        again = function(id, place)
            redis.call('ZADD', containers.again, ARGV[place + 3], id)
            write(id, 'retry', ARGV[place + 1], ARGV[place + 2])
        end,
        archive = function(id, place)
            redis.call('ZADD', containers.archive, now, id)
            write(id, 'archived', ARGV[place + 1], ARGV[place + 2])
            archived_now[id] = true
            processed, failed = processed + 1, failed + 1
        end,
        requeue = function(id, place)
            put_back(id)
            write(id, 'pending', nil, ARGV[place + 1])
        end,
        lost = function(id)
            if put_back(id) then
                redis.call('HSET', task_prefix .. id, 'state', 'pending')
                redis.call('HINCRBY', task_prefix .. id, 'lost', 1)
            end
        end,
    }

    -- The loss for which a task is archived counts like those before.
    local function count_last_loss(group, id)
        if group.way == 'archive' and group.is_lost and redis.call('HEXISTS', task_prefix .. id, 'lost') == 1 then
            redis.call('HINCRBY', task_prefix .. id, 'lost', 1)
        end
    end

    for _, group in ipairs(groups) do
        local settle = ways[group.way]
        for i = group.first, settle and group.last or 0 do
            if results[i] == 1 then
                settle(ids[i], group.at + (i - group.first) * group.width)
                count_last_loss(group, ids[i])
            end
        end
    end
    if next(archived_now) then
        --@include trim
        trim_archive(containers.archive, task_prefix, now, archive_life, archive_max, archived_now)
    end
end

local others = false
for _, group in ipairs(groups) do
    local is_done = group.way == 'done'
    others = others or not is_done
    for i = group.first, group.last do
        if results[i] == 1 then
            ended[#ended + 1] = ids[i]
            if is_done then
                hashes[#hashes + 1] = task_prefix .. ids[i]
            end
        end
    end
end
if #ended > 0 then
    redis.call('ZREM', lease, unpack(ended))
end
if #hashes > 0 then
    redis.call('DEL', unpack(hashes))
    processed = #hashes
end
if others then
    settle_otherwise()
end

-- The totals start again when the one of the processed would pass the largest number Redis can add to.
local add_to_total = total + processed >= 9223372036854775807 and 'SET' or 'INCRBY'
local function count(total_key, today_key, number)
    redis.call(add_to_total, total_key, number)
    if redis.call('INCRBY', today_key, number) == number then
        redis.call('EXPIREAT', today_key, counters_expire)
    end
end
if processed > 0 then
    count(KEYS[7], KEYS[9], processed)
end
if failed > 0 then
    count(KEYS[8], KEYS[10], failed)
end
return results
