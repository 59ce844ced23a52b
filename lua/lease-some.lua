-- Takes up to n tasks of one queue as lease does, but none for which its route has no room: those are passed over, and
-- stay where they are.
--
--@takes 5 10+
-- KEYS: pending, active, lease, paused, parked
-- ARGV: prefix of the queue's task keys, n, score of the lease,
--       prefix of the channels that wake servers ("": no server is parked), name of the queue,
--       size of the largest message that is part of the result ("": each is), how many tasks to look at,
--       how many of the oldest tasks were passed over before, id of the newest of them,
--       number of capacities c, the room of each,
--       then rules, the longest pattern first: pattern, number of its capacity (1 to c; 0: it has none).
--       A rule is for the types that begin with its pattern; the first that fits counts. A type without one has room.
-- Result: what lease answers,
--       how many of the oldest tasks have been passed over now, the id of the newest of them,
--       then for each capacity the same of what is older than the oldest task that was passed over for it (-1: none was)
-- Bound: the tasks to look at (256) and a megabyte of their messages; on the way there the tasks that were passed over
--       before (32,768), by their ids only
--
-- The first write is a removal, as in lease. Taken from between others, a task is removed from the nearer end.
local pending, active, lease, paused = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local task_prefix, count, score = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local largest, look, passed, last_id = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]), ARGV[9]
local max_bytes = 1048576

local room, rules = {}, {}
local capacities = tonumber(ARGV[10])
for i = 1, capacities do
    room[i] = tonumber(ARGV[10 + i])
end
for i = 11 + capacities, #ARGV, 2 do
    rules[#rules + 1] = { ARGV[i], tonumber(ARGV[i + 1]) }
end

local function answer(tasks, end_count, end_id, first)
    local result = { tasks, end_count, end_id }
    for i = 1, capacities do
        local place = first[i]
        result[#result + 1] = place and place[1] or -1
        result[#result + 1] = place and place[2] or ''
    end
    return result
end

if redis.call('EXISTS', paused) == 1 then
    return answer({ -1 }, 0, '', {})
end
local waiting = redis.call('LLEN', pending)
if waiting == 0 then
    return answer({ 0 }, 0, '', {})
end
redis.call('LLEN', active)
redis.call('ZCARD', lease)

-- Others may have taken tasks or put some back: where does ours stand now?
if passed > 0 and redis.call('LINDEX', pending, -passed) ~= last_id then
    local place = redis.call('LPOS', pending, last_id, 'RANK', -1, 'MAXLEN', passed)
    passed = place and waiting - place or 0
end
if passed == 0 then
    last_id = ''
end

-- The type is the first field of a message.
local function type_of(message)
    local head, length, high = string.byte(message, 1, 3)
    local at = 3
    if head ~= 10 or not length then
        return ''
    end
    if length > 127 then
        if not high or high > 127 then
            return ''
        end
        length, at = length - 128 + 128 * high, 4
    end
    return string.sub(message, at, at + length - 1)
end

local function capacity_of(message)
    local name = type_of(message)
    for i = 1, #rules do
        local pattern = rules[i][1]
        if string.sub(name, 1, #pattern) == pattern then
            return rules[i][2]
        end
    end
    return 0
end

-- From the oldest to the newest.
local ids = redis.call('LRANGE', pending, -passed - look, -passed - 1)
local tasks, kept, taken, dropped, leases, first = { 0 }, {}, {}, {}, {}, {}
local looked, bytes = 0, 0
while looked < #ids and #taken < count and bytes < max_bytes do
    local id = ids[#ids - looked]
    local found = redis.pcall('HMGET', task_prefix .. id, 'msg', 'pending_since')
    local message = found[1]
    local capacity = message and capacity_of(message) or 0
    looked = looked + 1
    bytes = bytes + (message and #message or 0)
    if capacity > 0 and room[capacity] <= 0 then
        first[capacity] = first[capacity] or { passed + #kept, kept[#kept] or last_id }
        kept[#kept + 1] = id
    else
        taken[#taken + 1] = id
        tasks[#tasks + 1] = id
        if message then
            room[capacity] = capacity > 0 and room[capacity] - 1 or nil
            leases[#leases + 1] = score
            leases[#leases + 1] = id
            tasks[#tasks + 1] = largest and #message > largest and #message or message
            tasks[#tasks + 1] = found[2]
        else
            dropped[#dropped + 1] = not found.err and id or nil
            tasks[#tasks + 1] = false
            tasks[#tasks + 1] = false
        end
    end
end

if #taken > 0 and passed == 0 then
    redis.call('LTRIM', pending, 0, -looked - 1)
    for i = #kept, 1, -1 do
        redis.call('RPUSH', pending, kept[i])
    end
elseif #taken > 0 then
    local direction = 2 * passed < waiting and -1 or 1
    for i = 1, #taken do
        redis.call('LREM', pending, direction, taken[i])
    end
end
for i = 1, #dropped do
    redis.call('DEL', task_prefix .. dropped[i])
end
local running = {}
for i = 2, #leases, 2 do
    local task = task_prefix .. leases[i]
    redis.call('HDEL', task, 'pending_since')
    redis.call('HSET', task, 'state', 'active')
    running[#running + 1] = leases[i]
end
if #running > 0 then
    redis.call('LPUSH', active, unpack(running))
    redis.call('ZADD', lease, unpack(leases))
end
tasks[1] = redis.call('LLEN', pending)
if tasks[1] > 0 and ARGV[4] ~= '' then
    --@include wake
    wake_parked(KEYS[5], ARGV[4], ARGV[5])
end
return answer(tasks, passed + #kept, kept[#kept] or last_id, first)
