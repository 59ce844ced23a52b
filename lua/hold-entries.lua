-- Takes or keeps periodic entries for a scheduler. An entry that another scheduler holds stays with that one until its
-- hold ends.
--
--@takes 1+ 3+
-- KEYS: the record of each entry
-- ARGV: id of the scheduler, length of the hold (ms; 0: give up what one holds), life of the records (s),
--       then for each entry: the last tick that the scheduler knows of (Unix s; 0: none)
-- Result: Redis's time (ms), then for each entry: its last tick, 1 if the scheduler holds it now (otherwise 0), and the
--         task of the last tick, and what came of it
-- Bound: 256 entries
--
-- The last tick of an entry that nobody knew of is now. One that Redis has forgotten is taken from the scheduler.
local id, hold, life = ARGV[1], tonumber(ARGV[2]), ARGV[3]
--@include ms-of
local time = redis.call('TIME')
local now = ms_of(time)
local result = { now }
for i = 1, #ARGV - 3 do
    local record = KEYS[i]
    local fields = redis.call('HMGET', record, 'tick', 'holder', 'until', 'task', 'result')
    local tick, holder = tonumber(fields[1] or 0), fields[2]
    local is_free = not holder or holder == id or tonumber(fields[3]) <= now
    local known = tonumber(ARGV[3 + i])
    if tick < known then
        tick = known
        redis.call('HSET', record, 'tick', tick)
    elseif tick == 0 then
        tick = tonumber(time[1])
        redis.call('HSET', record, 'tick', tick)
    end
    if hold == 0 then
        is_free = false
        if holder == id then
            redis.call('HSET', record, 'until', 0)
        end
    elseif is_free then
        redis.call('HSET', record, 'holder', id, 'until', now + hold)
    end
    redis.call('EXPIRE', record, life)
    result[#result + 1] = { tick, is_free and 1 or 0, fields[4] or '', tonumber(fields[5] or 0) }
end
return result
