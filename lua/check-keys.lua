-- Looks at keys of a queue that are not tasks, and repairs them if asked.
--
--@takes 3 8+
-- KEYS: groups, aggregation sets, quarantine
-- ARGV: prefix of the queue's keys, of its task keys, of its group keys, of what is in quarantine, now (s), now (ns),
--       life of the quarantine (s), "1" to repair,
--       then for each key: kind, name, type it must have ("": any), its longest life (s; "0": it may stay for ever)
-- Kinds: "plain"; "counter" (a number); "lock"; "group"; and "listed" (a set that `aggregation sets` or `groups` names)
-- Result: for each key what is wrong ("": nothing), details, what was done ("")
-- Bound: 32 keys
local groups, staged, quarantine = KEYS[1], KEYS[2], KEYS[3]
local key_prefix, task_prefix, group_prefix, quarantined_prefix = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local now, now_ns, quarantine_life, repairs = ARGV[5], ARGV[6], ARGV[7], ARGV[8] == '1'

--@include quarantine
-- How long a lock may stay is its task's affair. Counters end at a moment that servers choose by their own clocks.
local slack = { lock = math.huge, counter = 2 * 86400 }
local function check_life(kind, key, life)
    local left = redis.call('TTL', key)
    if life == 0 or (left >= 0 and left <= life + (slack[kind] or 60)) then
        return
    end
    local fault = left < 0 and 'it has no end of life' or 'its end of life is ' .. left .. ' s away'
    if repairs then
        redis.call('EXPIRE', key, life)
    end
    return 'missing-ttl', fault, repairs and 'it ends in ' .. life .. ' s'
end

local function check_lock(key)
    local holder = redis.call('GET', key)
    if redis.call('EXISTS', task_prefix .. holder) == 1 then
        return
    end
    if repairs then
        redis.call('DEL', key)
    end
    return 'stale-lock', 'its task ' .. holder .. ' has gone', repairs and 'released'
end

local function is_staged(key)
    return ask('ZSCORE', staged, key) and true
end

-- The sets of groups, and those of which an aggregation is under way, look alike; the latter end with a UUID.
local function check_group(key)
    local name = string.sub(key, #group_prefix + 1)
    if ask('SISMEMBER', groups, name) == 1 or is_staged(key) then
        return
    end
    local x = string.rep('%x', 4)
    local id = ':' .. x .. x .. ('%-' .. x):rep(4) .. x .. x
    local is_set = string.find(name, id .. '$') or string.find(name, id .. '%-back$')
    if string.find(name, id .. '%-done$') then
        local done = repairs and ask('ZADD', staged, 9999999999, key) and 'to be deleted'
        return 'stale-aggregation-set', 'its aggregation is finished', done
    end
    if is_set then
        local done = repairs and ask('ZADD', staged, now, key) and 'to be taken back into its group'
        return 'stale-aggregation-set', 'no aggregation knows it', done
    end
    return 'unlisted-group', 'the list of groups lacks it', repairs and ask('SADD', groups, name) and 'listed'
end

-- A name without a set.
local function check_listed(key)
    if redis.call('EXISTS', key) == 1 then
        return
    elseif is_staged(key) then
        return 'stale-aggregation-set', 'it has no tasks', repairs and ask('ZREM', staged, key) and 'forgotten'
    end
    local name = string.sub(key, #group_prefix + 1)
    if ask('SISMEMBER', groups, name) == 1 then
        return 'empty-group', 'it has no tasks', repairs and ask('SREM', groups, name) and 'forgotten'
    end
end

local function check_type(key, kind, wanted)
    local found = redis.call('TYPE', key).ok
    local why
    if wanted ~= '' and found ~= wanted then
        why = 'it is a ' .. found .. ', not a ' .. wanted
    elseif kind == 'counter' and not string.find(redis.call('GET', key), '^%-?%d+$') then
        why = 'it is not a number'
    else
        return
    end
    return 'wrong-type', why, repairs and set_key_aside(key, key_prefix, quarantined_prefix, quarantine,
        { now, now_ns, quarantine_life }, 'wrong-type: ' .. why)
end

local closer = { lock = check_lock, group = check_group }

local function check(kind, key, wanted, life)
    if kind == 'listed' then
        return check_listed(key)
    elseif redis.call('EXISTS', key) == 0 then
        return
    end
    local fault, detail, done = check_type(key, kind, wanted)
    if not fault and closer[kind] then
        fault, detail, done = closer[kind](key)
    end
    if not fault then
        fault, detail, done = check_life(kind, key, life)
    end
    return fault, detail, done
end

local result = {}
for at = 9, #ARGV, 4 do
    local fault, detail, done = check(ARGV[at], ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3]))
    result[#result + 1] = fault or ''
    result[#result + 1] = detail or ''
    result[#result + 1] = done or ''
end
return result
