-- Enqueues the task of one tick of a periodic entry, once in all: a tick at or before the last one is over.
--
--@takes 5 14
-- KEYS: record of the entry, pending, scheduled, groups, the task
-- ARGV: the tick (Unix s), id of the scheduler, length of its hold (ms), life of the record (s), prefix of the queue's
--       group keys, now (s), now (ns), then of the task: id, message, kind (p, s, g), score (s), lock ("" for none),
--       life of the lock (s), group
-- Result: Redis's time (ms), last tick before this call, and
--         1 (enqueued), 0 (the id exists), -1 (another task holds the lock), all three of which end the tick;
--         2 (the tick is over), 3 (another scheduler holds the entry)
-- Bound: one task
--
--@include new-task
local record = KEYS[1]
local tick, scheduler, hold, life = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), ARGV[4]
local id = ARGV[8]

--@include ms-of
local time = redis.call('TIME')
local now_ms = ms_of(time)
local fields = redis.call('HMGET', record, 'tick', 'holder', 'until')
local last = tonumber(fields[1] or 0)
if last >= tick then
    return { now_ms, last, 2 }
end
if fields[2] and fields[2] ~= scheduler and tonumber(fields[3]) > now_ms then
    return { now_ms, last, 3 }
end

local result = create_task({ unpack(KEYS, 2) }, ARGV[5], { ARGV[6], ARGV[7] }, { unpack(ARGV, 8) })
redis.call('HSET', record, 'tick', tick, 'holder', scheduler, 'until', now_ms + hold, 'task', id, 'result', result)
redis.call('EXPIRE', record, life)
return { now_ms, last, result }
