-- Deletes what is left of a queue, if no task is in it.
--
--@takes 8+ 0
-- KEYS: pending, active, scheduled, retry, archived, completed, groups, aggregation sets, then whatever else to delete
-- Result: 1 (done), 0 (there are tasks)
-- Bound: empty containers and 190 names
for i = 1, 8 do
    if redis.call('EXISTS', KEYS[i]) == 1 then
        return 0
    end
end
redis.call('DEL', unpack(KEYS))
return 1
