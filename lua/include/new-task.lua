-- Writes the hash of a new task, and its lock. `kind`: p (pending), s (scheduled), g (waiting in `group`).
local function write_new_task(task, id, message, kind, now_ns, lock, lock_life, group)
    local fields = { 'msg', message, 'state', 'pending', 'pending_since', now_ns }
    if kind == 's' then
        fields = { 'msg', message, 'state', 'scheduled' }
    elseif kind == 'g' then
        fields = { 'msg', message, 'state', 'aggregating', 'group', group }
    end
    if lock ~= '' then
        redis.call('SET', lock, id, 'EX', lock_life)
        if kind ~= 'g' then
            fields[#fields + 1] = 'unique_key'
            fields[#fields + 1] = lock
        end
    end
    redis.call('HSET', task, unpack(fields))
end

-- Creates one task. Returns 1 (created), 0 (the id exists) or -1 (another task holds the lock). `keys`: pending,
-- scheduled, groups, the task; `at`: now (s), now (ns); `new`: id, message, kind, score (s), lock ("" for none), life of
-- the lock (s), group.
local function create_task(keys, group_prefix, at, new)
    local pending, scheduled, groups, task = unpack(keys)
    local id, message, kind, score, lock, lock_life, group = unpack(new)
    if lock ~= '' and redis.call('EXISTS', lock) == 1 then
        return -1
    elseif redis.call('EXISTS', task) == 1 then
        return 0
    elseif kind == 'p' then
        redis.call('LPUSH', pending, id)
    elseif kind == 's' then
        redis.call('ZADD', scheduled, score, id)
    else
        redis.call('ZADD', group_prefix .. group, at[1], id)
        redis.call('SADD', groups, group)
    end
    write_new_task(task, id, message, kind, at[2], lock, lock_life, group)
    return 1
end
