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
