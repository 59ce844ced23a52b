-- Takes up to n tasks of one queue: pending to active, with a lease.
--
--@takes 5 5..6
-- KEYS: pending, active, lease, paused, parked
-- ARGV: prefix of the queue's task keys, n, score of the lease (s, with the tag of this call as fraction),
--       prefix of the channels that wake servers ("": no server is parked), name of the queue,
--       size of the largest message that is part of the result ("": each is)
-- Result: tasks still pending (-1: the queue is paused), then id, message and pending_since of each task taken; of a
--       larger message its length, and the caller reads it with a command of its own: what passes through Lua is copied
--       and hashed as a whole, which is a third of Redis's time with messages of 10 kB
-- Bound: the tasks asked for (64), or the bytes that the caller expects of them
--
-- An id without a message is dropped (its message answers nil): nobody could ever run it. The first write is a
-- removal, so that a full Redis still drains; before it, keys of a wrong type stop the script.
local pending, active, lease, paused = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local task_prefix, count, score = ARGV[1], ARGV[2], ARGV[3]

if redis.call('EXISTS', paused) == 1 then
    return { -1 }
end
local waiting = redis.call('LLEN', pending)
if waiting == 0 then
    return { 0 }
end
redis.call('LLEN', active)
local leased = redis.call('ZCARD', lease)

local ids = redis.call('RPOP', pending, count)
local result = { waiting - #ids }
local taken, leases = {}, {}

-- Redis keeps a set of up to 128 short members as a list that it walks for each new member, with our scores as texts
-- that it parses at each step: 4 us per member at 100. A member of more than 64 bytes, there for a moment, makes it a
-- skip list (measured at concurrency 100: 12 us of Redis per task with it, 16 without).
local long_member = string.rep('-', 65)
if leased + #ids > 8 and leased <= 128 then
    leases = { score, long_member }
end

local largest = tonumber(ARGV[6])
local function read(task)
    local size = largest and redis.pcall('HSTRLEN', task, 'msg')
    if type(size) == 'number' and size > largest then
        return { size, redis.call('HGET', task, 'pending_since') }
    end
    return redis.pcall('HMGET', task, 'msg', 'pending_since')
end

for i = 1, #ids do
    local id = ids[i]
    local task = task_prefix .. id
    local found = read(task)
    result[#result + 1] = id
    if found[1] then
        taken[#taken + 1] = id
        leases[#leases + 1] = score
        leases[#leases + 1] = id
        redis.call('HDEL', task, 'pending_since')
        redis.call('HSET', task, 'state', 'active')
        result[#result + 1] = found[1]
        result[#result + 1] = found[2]
    else
        if not found.err then
            redis.call('DEL', task)
        end
        result[#result + 1] = false
        result[#result + 1] = false
    end
end
if #taken > 0 then
    redis.call('LPUSH', active, unpack(taken))
    redis.call('ZADD', lease, unpack(leases))
    if leases[2] == long_member then
        redis.call('ZREM', lease, long_member)
    end
end
if waiting > #ids and ARGV[4] ~= '' then
    --@include wake
    wake_parked(KEYS[5], ARGV[4], ARGV[5])
end
return result
