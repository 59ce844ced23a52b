-- Takes a server out of its roles, because it has no free slot or ends. Another one takes its place.
--
-- KEYS: for each queue: watchers, parked, pending
-- ARGV: id of the server, prefix of the channels that wake servers, names of the queues
--@include wake
for i = 1, #KEYS / 3 do
    local watchers, parked, pending = KEYS[3 * i - 2], KEYS[3 * i - 1], KEYS[3 * i]
    redis.call('ZREM', parked, ARGV[1])
    if redis.call('ZREM', watchers, ARGV[1]) == 1 or redis.call('LLEN', pending) > 0 then
        wake_parked(parked, ARGV[2], ARGV[2 + i])
    end
end
return 0
