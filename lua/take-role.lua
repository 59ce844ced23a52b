-- Gives an idle server its role in a queue.
--
--@takes 3 4
-- KEYS: watchers, parked, pending
-- ARGV: id of the server, prefix of the channels that wake servers, most watchers of a queue, life of an entry (s)
-- Result:
--   1  it watches: it is told of new tasks, and does the upkeep. At most so many servers watch, and those that live
--      are not replaced
--   3  it watches, and another watcher (the one with the lowest id) does the upkeep
--   0  it is parked, to be woken when there is more to do than others take
--   2  neither: tasks wait, and it should look
-- Bound: the watchers of a queue (2), and parked servers that are gone
--@include role
local now = tonumber(redis.call('TIME')[1])
return take_role(KEYS, ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), now)
