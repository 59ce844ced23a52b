-- Gives an idle server its role in queues: watching or parked.
--
-- KEYS: for each queue: watchers, parked, pending
-- ARGV: id of the server, prefix of the channels that wake servers, most watchers of a queue, life of an entry (s)
-- Result: for each queue 1 or 3 (watch it, with or without upkeep), 0 (parked), 2 (tasks wait: look)
--@include roles
return take_roles(1, ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]))
