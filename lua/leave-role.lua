-- Takes a server out of its role in a queue, because it has no free slot or ends. Another one takes its place.
--
--@takes 3 3
-- KEYS: watchers, parked, pending
-- ARGV: id of the server, prefix of the channels that wake servers, name of the queue
-- Bound: one server
--@include wake
local watchers, parked, pending = KEYS[1], KEYS[2], KEYS[3]
redis.call('ZREM', parked, ARGV[1])
if redis.call('ZREM', watchers, ARGV[1]) == 1 or redis.call('LLEN', pending) > 0 then
    wake_parked(parked, ARGV[2], ARGV[3])
end
return 0
