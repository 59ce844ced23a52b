-- Puts tasks back whose servers are gone: from active to pending, where they are the next to run, the oldest first.
--
--@takes 3 8+
-- KEYS: lease, active, pending
-- ARGV: prefix of the queue's task keys, now (ns), first place of the active list, most places to look at, most tasks,
--       most losses of a task (0: any number), 1 if tasks are put back (else all are only listed), bytes of messages after
--       which to stop, then the numbers of the servers whose sessions are over
-- Result: place where the next call goes on (-1: that was all), ids of those that were put back each followed by the
--       number of its server and how often it was lost, and of those that were not: id, score, message and losses, as
--       expired-leases answers them
-- Bound: 512 places, 64 tasks, and from the nearer end of the active list to there
--
-- The fence is the number in the tag of the lease: a server whose session is over takes no more tasks under that number.
-- Going from the newest to the oldest, each is pushed in front of the one before.
--@include tag
local lease, active, pending = KEYS[1], KEYS[2], KEYS[3]
local task_prefix, now_ns, first = ARGV[1], ARGV[2], tonumber(ARGV[3])
local max_looked, max_tasks, max_losses = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local puts_back, max_bytes = ARGV[7] == '1', tonumber(ARGV[8])
local is_over = {}
for i = 9, #ARGV do
    is_over[tonumber(ARGV[i])] = true
end

redis.call('LLEN', pending)
local ids = redis.call('LRANGE', active, first, first + max_looked - 1)
if #ids == 0 then
    return { -1, {}, {} }
end

-- The number of the server that holds this lease, if its session is over.
local function lost_by(score)
    local tag = score and tag_of(tonumber(score)) or 0
    local number = math.floor(tag / 4096)
    return tag > 0 and is_over[number] and number
end

local scores = redis.call('ZMSCORE', lease, unpack(ids))
local looked, bytes = 0, 0
local back, places, told, listed, seen = {}, {}, {}, {}, {}
while looked < #ids and #back < max_tasks and #listed < 4 * max_tasks and bytes < max_bytes do
    looked = looked + 1
    local id, number = ids[looked], lost_by(scores[looked])
    local found = number and not seen[id] and redis.pcall('HMGET', task_prefix .. id, 'state', 'lost')
    if found and not found.err then
        local losses = tonumber(found[2] or nil) or 0
        if puts_back and found[1] and (max_losses == 0 or losses + 1 < max_losses) then
            back[#back + 1], places[#places + 1] = id, first + looked - 1
            told[#told + 1], told[#told + 2], told[#told + 3] = id, number, losses + 1
        else
            local message = redis.call('HGET', task_prefix .. id, 'msg')
            bytes = bytes + #(message or '')
            for _, value in ipairs({ id, scores[looked], message, losses }) do
                listed[#listed + 1] = value
            end
        end
        seen[id] = true
    end
end

if #back > 0 then
    local mark, length = 'put back ' .. now_ns, redis.call('LLEN', active)
    local from_end = first + looked > length / 2 and -1 or 1
    redis.call('ZREM', lease, unpack(back))
    for _, place in ipairs(places) do
        redis.call('LSET', active, place, mark)
    end
    redis.call('LREM', active, from_end * #back, mark)
    for _, id in ipairs(back) do
        redis.call('HSET', task_prefix .. id, 'state', 'pending', 'pending_since', now_ns)
        redis.call('HINCRBY', task_prefix .. id, 'lost', 1)
    end
    redis.call('RPUSH', pending, unpack(back))
end
local is_end = looked == #ids and #ids < max_looked
return { is_end and -1 or first + looked - #back, told, listed }
