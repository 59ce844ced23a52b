-- Ends the attempts of n active tasks of one queue, each in its own way.
--
-- KEYS: active, lease, pending, completed, retry, archived, processed, failed, processed today, failed today
-- ARGV: prefix of the queue's task keys, now (s), expiry of today's counters (Unix s),
--       oldest archive time to keep (s), most archived tasks to keep,
--       then groups. A group is: way, fence, end of the active list to search (1 head, -1 tail), n,
--       and n times what the way takes:
--         done      id
--         unlock    id, lock                                done, and the lock is released if this task holds it
--         complete  id, lock, message, result, expiry (s)
--         retry     id, message, result, retry at (s)       a failure
--         again     id, message, result, retry at (s)       not counted as a failure
--         archive   id, message, result
--         requeue   id, result
--       An empty lock or result means none. The fence is the tag of the lease: the fraction of its score in units of
--       2^-22; with "=" in front it is the whole score.
-- Result: for each task 1 (done), 0 (not active, or without lease), -1 (the lease belongs to somebody else)
--
-- What fails its tests is left exactly as it was. The first write of the script is a removal: a full Redis drains.
local active, lease, pending = KEYS[1], KEYS[2], KEYS[3]
local containers = { complete = KEYS[4], retry = KEYS[5], again = KEYS[5], archive = KEYS[6] }
local task_prefix, now, counters_expire = ARGV[1], ARGV[2], ARGV[3]
local archive_oldest, archive_most = ARGV[4], tonumber(ARGV[5])
local first_group = 6

local width = { done = 1, unlock = 2, complete = 5, retry = 4, again = 4, archive = 3, requeue = 2 }
local processed, failed = 0, 0

-- Keys of a wrong type must stop the script before its first write.
local total
local function probe_types()
    total = tonumber(redis.call('GET', KEYS[7]) or 0) or 0
    redis.call('LLEN', active)
    redis.call('ZCARD', lease)
    local at = first_group
    while at <= #ARGV do
        local way = ARGV[at]
        if containers[way] then
            redis.call('ZCARD', containers[way])
        elseif way == 'requeue' then
            redis.call('LLEN', pending)
        end
        at = at + 4 + tonumber(ARGV[at + 3]) * width[way]
    end
end

local function fence_holds(score, fence)
    local number = tonumber(score)
    if fence.score then
        return number == fence.score
    end
    return math.floor((number - math.floor(number)) * 4194304 + 0.5) == fence.tag
end

local function read_fence(text)
    if string.sub(text, 1, 1) == '=' then
        return { score = tonumber(string.sub(text, 2)) }
    end
    return { tag = tonumber(text) }
end

local function release(lock, id)
    if lock ~= '' and redis.call('GET', lock) == id then
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

local archived_now = {}
local hashes_to_delete = {}

local function forget(id)
    hashes_to_delete[#hashes_to_delete + 1] = task_prefix .. id
    processed = processed + 1
end

-- What each way does after the id has left the active list and the lease set; `at` is the place of the id in ARGV.
local ways = {
    done = forget,
    unlock = function(id, at)
        forget(id)
        release(ARGV[at + 1], id)
    end,
    complete = function(id, at)
        redis.call('ZADD', containers.complete, ARGV[at + 4], id)
        write(id, 'completed', ARGV[at + 2], ARGV[at + 3])
        release(ARGV[at + 1], id)
        processed = processed + 1
    end,
    retry = function(id, at)
        redis.call('ZADD', containers.retry, ARGV[at + 3], id)
        write(id, 'retry', ARGV[at + 1], ARGV[at + 2])
        processed, failed = processed + 1, failed + 1
    end,
    again = function(id, at)
        redis.call('ZADD', containers.again, ARGV[at + 3], id)
        write(id, 'retry', ARGV[at + 1], ARGV[at + 2])
    end,
    archive = function(id, at)
        redis.call('ZADD', containers.archive, now, id)
        write(id, 'archived', ARGV[at + 1], ARGV[at + 2])
        archived_now[id] = true
        processed, failed = processed + 1, failed + 1
    end,
    requeue = function(id, at)
        redis.call('RPUSH', pending, id)
        write(id, 'pending', nil, ARGV[at + 1])
    end,
}

-- The tasks as given: id, way, fence, end of the list, place in ARGV; and the ids alone.
local function read_tasks()
    local tasks, ids = {}, {}
    local at = first_group
    while at <= #ARGV do
        local way, fence, from_end, n = ARGV[at], read_fence(ARGV[at + 1]), ARGV[at + 2], tonumber(ARGV[at + 3])
        at = at + 4
        for _ = 1, n do
            ids[#ids + 1] = ARGV[at]
            tasks[#ids] = { id = ARGV[at], way = way, fence = fence, from_end = from_end, at = at }
            at = at + width[way]
        end
    end
    return tasks, ids
end

-- The result of each task if nothing but its lease counts.
local function judge_leases(tasks, ids)
    local results = {}
    local scores = redis.call('ZMSCORE', lease, unpack(ids))
    for i, task in ipairs(tasks) do
        if not scores[i] then
            results[i] = 0
        elseif not fence_holds(scores[i], task.fence) then
            results[i] = -1
        else
            results[i] = 1
        end
    end
    return results
end

-- How many at the head of the active list (or at its tail) are among the tasks, without a gap; they are marked removed.
local function matching_run(first, last, step, of, removed)
    local ids = redis.call('LRANGE', active, first, last)
    local from, to = 1, #ids
    if step < 0 then
        from, to = #ids, 1
    end
    local run = 0
    for i = from, to, step do
        local id = ids[i]
        if not of[id] or removed[id] then
            break
        end
        removed[id] = true
        run = run + 1
    end
    return run
end

-- Takes the tasks out of the active list. Short tasks stand together at its head, where they were put, so most of them
-- go with one command; the others are searched one by one.
local function leave_active(tasks, results)
    local of, removed, at_end, count = {}, {}, {}, 0
    for i, task in ipairs(tasks) do
        if results[i] == 1 and not of[task.id] then
            of[task.id] = true
            at_end[task.from_end] = true
            count = count + 1
        end
    end
    if count > 1 and at_end['1'] then
        local run = matching_run(0, count - 1, 1, of, removed)
        if run > 0 then
            redis.call('LTRIM', active, run, -1)
        end
    end
    if count > 1 and at_end['-1'] then
        local run = matching_run(-count, -1, -1, of, removed)
        if run > 0 then
            redis.call('LTRIM', active, 0, -run - 1)
        end
    end
    for i, task in ipairs(tasks) do
        if results[i] == 1 and not removed[task.id] then
            if redis.call('LREM', active, task.from_end, task.id) == 0 then
                results[i] = 0
            end
        end
    end
end

-- Takes those that were active out of the lease set. An id that is given twice counts once.
local function leave_leases(tasks, results)
    local seen, ids = {}, {}
    for i, task in ipairs(tasks) do
        if results[i] == 1 then
            if seen[task.id] then
                results[i] = 0
            else
                seen[task.id] = true
                ids[#ids + 1] = task.id
            end
        end
    end
    if #ids > 0 then
        redis.call('ZREM', lease, unpack(ids))
    end
end

-- At most this many leave the archive in one call; a longer overhang goes over several.
local trim_most = 256

local function trim(ids)
    for _, id in ipairs(ids) do
        if not archived_now[id] then
            redis.call('ZREM', containers.archive, id)
            redis.call('DEL', task_prefix .. id)
        end
    end
end

local function trim_archive()
    trim(redis.call('ZRANGEBYSCORE', containers.archive, '-inf', archive_oldest, 'LIMIT', 0, trim_most))
    local surplus = redis.call('ZCARD', containers.archive) - archive_most
    if surplus > 0 then
        trim(redis.call('ZRANGE', containers.archive, 0, math.min(surplus, trim_most) - 1))
    end
end

-- The total starts again when it would pass the largest number Redis can add to.
local function add_total(key, count, start_again)
    if start_again then
        redis.call('SET', key, count)
    else
        redis.call('INCRBY', key, count)
    end
end

local function add_daily(key, count)
    if redis.call('INCRBY', key, count) == count then
        redis.call('EXPIREAT', key, counters_expire)
    end
end

local function count()
    if processed == 0 then
        return
    end
    local start_again = total + processed >= 9223372036854775807
    add_total(KEYS[7], processed, start_again)
    add_daily(KEYS[9], processed)
    if failed > 0 then
        add_total(KEYS[8], failed, start_again)
        add_daily(KEYS[10], failed)
    end
end

probe_types()
local tasks, ids = read_tasks()
local results = judge_leases(tasks, ids)
leave_active(tasks, results)
leave_leases(tasks, results)
for i, task in ipairs(tasks) do
    if results[i] == 1 then
        ways[task.way](task.id, task.at)
    end
end
if #hashes_to_delete > 0 then
    redis.call('DEL', unpack(hashes_to_delete))
end
if next(archived_now) then
    trim_archive()
end
count()
return results
