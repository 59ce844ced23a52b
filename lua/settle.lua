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
--       An empty lock or result means none. The fence is compared with the fraction of the lease score; with "=" in
--       front, with the whole score.
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
    if string.sub(fence, 1, 1) == '=' then
        return tonumber(score) == tonumber(string.sub(fence, 2))
    end
    local number = tonumber(score)
    return number - math.floor(number) == tonumber(fence)
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

-- What each way does after the id has left the active list and the lease set; `at` is the place of the id in ARGV.
local ways = {
    done = function(id)
        redis.call('DEL', task_prefix .. id)
        processed = processed + 1
    end,
    unlock = function(id, at)
        redis.call('DEL', task_prefix .. id)
        release(ARGV[at + 1], id)
        processed = processed + 1
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

local function settle(way, fence, from_end, at)
    local id = ARGV[at]
    local score = redis.call('ZSCORE', lease, id)
    if not score then
        return 0
    end
    if not fence_holds(score, fence) then
        return -1
    end
    if redis.call('LREM', active, from_end, id) == 0 then
        return 0
    end
    redis.call('ZREM', lease, id)
    ways[way](id, at)
    return 1
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
local results = {}
local at = first_group
while at <= #ARGV do
    local way, fence, from_end, n = ARGV[at], ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3])
    at = at + 4
    for _ = 1, n do
        results[#results + 1] = settle(way, fence, from_end, at)
        at = at + width[way]
    end
end
if next(archived_now) then
    trim_archive()
end
count()
return results
