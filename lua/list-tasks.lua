-- Reads tasks of one state by their rank, or those behind a task that was read before.
--
--@takes 1..2 5+
-- KEYS: container, and of active tasks: lease
-- ARGV: prefix of the queue's task keys, type of the container ("list" or "zset"), first rank, number of tasks,
--       "1" to count the ranks of a list from its right end,
--       and to go on: score of the task before the first rank, as it was read (a set), and ids of tasks that stood
--       directly before the first rank, the last one last (a set: one)
-- Result: rank of the first task, then for each task id, score ("" in a list), msg, result, pending_since, end of its
--         lease (nil where absent)
-- Bound: 100 tasks, 1,200 places around the last one, and the bytes that the caller expects of them
local container, lease = KEYS[1], KEYS[2]
local first, count = tonumber(ARGV[3]), tonumber(ARGV[4])
local last_score, last_id = ARGV[6], ARGV[#ARGV]
local goes_on = #ARGV > 6

-- The order of equal scores; Lua's own follows the server's locale.
local function is_before(a, b)
    local at = 1
    while string.byte(a, at) and string.byte(a, at) == string.byte(b, at) do
        at = at + 1
    end
    return (string.byte(a, at) or -1) < (string.byte(b, at) or -1)
end

-- The task before is still there, or has gone, or has another score now: then those behind its old place follow.
local function rank_behind_in_set()
    if redis.call('ZSCORE', container, last_id) == last_score then
        return redis.call('ZRANK', container, last_id) + 1
    end
    local low = redis.call('ZCOUNT', container, '-inf', '(' .. last_score)
    local high = low + redis.call('ZCOUNT', container, last_score, last_score)
    while low < high do
        local middle = math.floor((low + high) / 2)
        if is_before(last_id, redis.call('ZRANGE', container, middle, middle)[1]) then
            high = middle
        else
            low = middle + 1
        end
    end
    return low
end

local ids, scores = {}, {}
if ARGV[2] == 'zset' then
    if goes_on then
        first = rank_behind_in_set()
    end
    local found = redis.call('ZRANGE', container, first, first + count - 1, 'WITHSCORES')
    for i = 1, #found, 2 do
        ids[#ids + 1], scores[#scores + 1] = found[i], found[i + 1]
    end
elseif ARGV[5] == '1' then
    local found = redis.call('LRANGE', container, -first - count, -first - 1)
    for i = #found, 1, -1 do
        ids[#ids + 1] = found[i]
    end
else
    if goes_on then
        --@include behind
        first = rank_behind_in_list(container, first, 7)
    end
    ids = redis.call('LRANGE', container, first, first + count - 1)
end

local result = { first }
for i, id in ipairs(ids) do
    -- A key of another type is not a task.
    local fields = redis.pcall('HMGET', ARGV[1] .. id, 'msg', 'result', 'pending_since')
    local at = #result
    result[at + 1], result[at + 2] = id, scores[i] or ''
    result[at + 3], result[at + 4], result[at + 5] = fields[1] or false, fields[2] or false, fields[3] or false
    result[at + 6] = lease and redis.call('ZSCORE', lease, id) or false
end
return result
