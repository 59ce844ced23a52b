--@include sure-now
-- Deletes archived tasks that are older than `life` or too many, the oldest first, except those in `spared`. At most 256
-- by age and 256 by number leave in one call; a longer overhang goes over several. Returns how many left.
local function trim_archive(archived, task_prefix, now, life, max, spared)
    local trimmed, max_at_once = 0, 256
    local function drop(ids)
        for _, id in ipairs(ids) do
            if not spared[id] then
                redis.call('ZREM', archived, id)
                redis.call('DEL', task_prefix .. id)
                trimmed = trimmed + 1
            end
        end
    end
    drop(redis.call('ZRANGEBYSCORE', archived, '-inf', sure_now(now) - life, 'LIMIT', 0, max_at_once))
    local surplus = redis.call('ZCARD', archived) - max
    if surplus > 0 then
        drop(redis.call('ZRANGE', archived, 0, math.min(surplus, max_at_once) - 1))
    end
    return trimmed
end
