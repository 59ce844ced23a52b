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
local watchers, parked, pending = KEYS[1], KEYS[2], KEYS[3]
local id, channel_prefix = ARGV[1], ARGV[2]
local most_watchers, life = tonumber(ARGV[3]), tonumber(ARGV[4])
local now = tonumber(redis.call('TIME')[1])

local members = redis.call('ZRANGE', watchers, 0, -1, 'WITHSCORES')
local others, is_watcher, role = 0, false, 1
for i = 1, #members, 2 do
    local other = members[i]
    if other == id then
        is_watcher = true
    elseif tonumber(members[i + 1]) < now - life
        or redis.pcall('PUBSUB', 'NUMSUB', channel_prefix .. other)[2] == 0 then
        redis.call('ZREM', watchers, other) -- hung, or gone
    else
        others = others + 1
        if other < id then
            role = 3
        end
    end
end
if is_watcher or others < most_watchers then
    redis.call('ZADD', watchers, now, id)
    redis.call('EXPIRE', watchers, life)
    redis.call('ZREM', parked, id)
    return role
elseif redis.call('LLEN', pending) > 0 then
    redis.call('ZREM', parked, id)
    return 2
end
redis.call('ZREMRANGEBYSCORE', parked, '-inf', now - life)
redis.call('ZADD', parked, now, id)
redis.call('EXPIRE', parked, life)
return 0
