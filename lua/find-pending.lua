-- Searches a part of the pending tasks for one. Changes nothing.
--
--@takes 1 3
-- KEYS: pending
-- ARGV: id, first place, number of places
-- Result: number of pending tasks, place of the task (-1: not there)
-- Bound: the places asked for (2,000)
local ids = redis.call('LRANGE', KEYS[1], ARGV[2], ARGV[2] + ARGV[3] - 1)
local place = -1
for i, id in ipairs(ids) do
    if id == ARGV[1] then
        place = ARGV[2] + i - 1
        break
    end
end
return { redis.call('LLEN', KEYS[1]), place }
