-- Gives a server its role in queues, whose keys (watchers, parked, pending) begin at KEYS[first]. For each queue:
--   1  it watches: it is told of new tasks, and does the upkeep. At most so many servers watch, and those that live
--      are not replaced
--   3  it watches, and another watcher (the one with the lowest id) does the upkeep
--   0  it is parked, to be woken when there is more to do than others take
--   2  neither: tasks wait, and it should look
local function take_roles(first, id, channel_prefix, most_watchers, life)
    local now = tonumber(redis.call('TIME')[1])
    local roles = {}
    for at = first, #KEYS, 3 do
        local watchers, parked, pending = KEYS[at], KEYS[at + 1], KEYS[at + 2]
        local members = redis.call('ZRANGE', watchers, 0, -1, 'WITHSCORES')
        local others, is_watcher, role = 0, false, 1
        for i = 1, #members, 2 do
            local other = members[i]
            if other == id then
                is_watcher = true
            elseif tonumber(members[i + 1]) < now - life
                or redis.call('PUBSUB', 'NUMSUB', channel_prefix .. other)[2] == 0 then
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
            roles[#roles + 1] = role
        elseif redis.call('LLEN', pending) > 0 then
            redis.call('ZREM', parked, id)
            roles[#roles + 1] = 2
        else
            redis.call('ZREMRANGEBYSCORE', parked, '-inf', now - life)
            redis.call('ZADD', parked, now, id)
            redis.call('EXPIRE', parked, life)
            roles[#roles + 1] = 0
        end
    end
    return roles
end
