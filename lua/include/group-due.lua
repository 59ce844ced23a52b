-- Size of a group, and when it is due if nothing else joins it (Unix s; 0: at once). `limits`: grace period (s), longest
-- delay (s; 0: none), most tasks (0: any number).
local function group_due(group, limits)
    local size = redis.call('ZCARD', group)
    if size == 0 or (limits.max > 0 and size >= limits.max) then
        return size, 0
    end
    local due = tonumber(redis.call('ZRANGE', group, -1, -1, 'WITHSCORES')[2]) + limits.grace
    if limits.longest > 0 then
        due = math.min(due, tonumber(redis.call('ZRANGE', group, 0, 0, 'WITHSCORES')[2]) + limits.longest)
    end
    return size, due
end
