-- What a command answers; false if it fails: a key of a wrong type holds nothing.
local function ask(...)
    local answer = redis.pcall(...)
    return not (type(answer) == 'table' and answer.err) and answer
end

-- Renames a key into the quarantine, whatever its type; `index` tells of it. `at`: now (s), now (ns), life (s).
local function set_key_aside(key, key_prefix, quarantined_prefix, index, at, why)
    local name = string.sub(key, #key_prefix + 1)
    if redis.call('EXISTS', quarantined_prefix .. name) == 1 then
        name = name .. '#' .. at[2]
    end
    redis.call('RENAME', key, quarantined_prefix .. name)
    redis.call('EXPIRE', quarantined_prefix .. name, at[3])
    redis.call('HSET', index, name, at[1] .. ' ' .. why)
    redis.call('EXPIRE', index, at[3])
    return 'moved to the quarantine'
end
