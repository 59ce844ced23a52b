-- The role of an idle server in a queue, see take-role.lua. `keys`: watchers, parked, pending.
local function take_role(keys, id, channel_prefix, max_watchers, life, now)
    local watchers, parked, pending = keys[1], keys[2], keys[3]
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
    if is_watcher or others < max_watchers then
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
end
