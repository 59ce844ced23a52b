-- Creates n tasks of one queue: pending, scheduled, or waiting in a group.
--
--@takes 4 9+
-- KEYS: pending, scheduled, groups, memory of the client (its last batches and what came of them)
-- ARGV: prefix of the queue's task keys, prefix of its group keys, now (s), now (ns),
--       batch number ("" to remember nothing), life of the memory (s), "1" if this batch was sent before,
--       place in the memory (a client has two batches under way at most, in different places),
--       "1" if all tasks are pending and without lock, then for each task: id, message;
--       otherwise for each task: id, message, kind (p, s, g), score (s), lock ("" for none), life of the lock (s), group
-- Result: for each task 1 (created), 0 (the id exists), -1 (another task holds the lock)
-- Bound: one batch: 64 tasks and 256 kB
--
-- All tests come before the first write; an id that exists takes no lock. Containers are written before hashes, so
-- that a container of the wrong type stops the script before anything changed. Most tasks are simply pending: for them
-- each argument and each step that others need would cost Redis noticeably.
--@include new-task
local pending, scheduled, groups, memory = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local task_prefix, group_prefix = ARGV[1], ARGV[2]
local now, now_ns = ARGV[3], ARGV[4]
local batch, memory_life = ARGV[5], ARGV[6]
local place = ARGV[8]
local are_plain = ARGV[9] == '1'
local first, width = 10, are_plain and 2 or 7

if ARGV[7] == '1' then
    local remembered = redis.call('HMGET', memory, 'batch' .. place, 'results' .. place)
    if remembered[1] == batch then
        redis.call('EXPIRE', memory, memory_life) -- so that WAIT has a write of this connection to wait for
        return cjson.decode(remembered[2])
    end
end

-- Seldom does one of the ids or locks exist; then one question is enough for all.
local names = {}
for at = first, #ARGV, width do
    names[#names + 1] = task_prefix .. ARGV[at]
    if not are_plain and ARGV[at + 4] ~= '' then
        names[#names + 1] = ARGV[at + 4]
    end
end
local any_exists = redis.call('EXISTS', unpack(names)) > 0
local function exists(name)
    return any_exists and redis.call('EXISTS', name) == 1
end

local results = {}
local new_ids, new_locks = {}, {}
local to_pending, to_schedule, to_groups = {}, {}, {}
local accepted = {}

local function choose_place(at, id, kind)
    if kind == 's' then
        to_schedule[#to_schedule + 1] = ARGV[at + 3]
        to_schedule[#to_schedule + 1] = id
    else
        local group = ARGV[at + 6]
        to_groups[group] = to_groups[group] or {}
        table.insert(to_groups[group], now)
        table.insert(to_groups[group], id)
    end
end

for at = first, #ARGV, width do
    local id, kind, lock = ARGV[at], 'p', ''
    if not are_plain then
        kind, lock = ARGV[at + 2], ARGV[at + 4]
    end
    local result = 1
    if lock ~= '' and (new_locks[lock] or exists(lock)) then
        result = -1
    elseif new_ids[id] or exists(task_prefix .. id) then
        result = 0
    else
        new_ids[id] = true
        if lock ~= '' then
            new_locks[lock] = true
        end
        accepted[#accepted + 1] = at
        if kind == 'p' then
            to_pending[#to_pending + 1] = id
        else
            choose_place(at, id, kind)
        end
    end
    results[#results + 1] = result
end

if #to_pending > 0 then
    redis.call('LPUSH', pending, unpack(to_pending))
end
if #to_schedule > 0 then
    redis.call('ZADD', scheduled, unpack(to_schedule))
end
for group, members in pairs(to_groups) do
    redis.call('ZADD', group_prefix .. group, unpack(members))
    redis.call('SADD', groups, group)
end

for i = 1, #accepted do
    local at = accepted[i]
    if are_plain then
        redis.call('HSET', task_prefix .. ARGV[at], 'msg', ARGV[at + 1], 'state', 'pending', 'pending_since', now_ns)
    else
        write_new_task(task_prefix .. ARGV[at], ARGV[at], ARGV[at + 1], ARGV[at + 2], now_ns, ARGV[at + 4],
            ARGV[at + 5], ARGV[at + 6])
    end
end

if batch ~= '' then
    redis.call('HSET', memory, 'batch' .. place, batch, 'results' .. place, cjson.encode(results))
    redis.call('EXPIRE', memory, memory_life)
end
return results
