-- Estimates the memory of a queue as Asynq does (spec 10.2): the mean over some tasks of each container, times its
-- length, and the containers themselves. A task without hash counts as 0 bytes.
--
--@takes 7 5
-- KEYS: pending, active, scheduled, retry, archived, completed, groups
-- ARGV: prefix of the queue's task keys, prefix of its group keys, tasks to look at per container, groups to look at,
--       number of tasks in groups
-- Result: bytes
-- Bound: 20 tasks of each container, and of 5 groups
local sample = tonumber(ARGV[3])

local function memory_of(key)
    return redis.call('MEMORY', 'USAGE', key) or 0
end

local function memory_of_tasks(ids)
    local sum = 0
    for _, id in ipairs(ids) do
        sum = sum + memory_of(ARGV[1] .. id)
    end
    return sum
end

local total = 0
for i = 1, 6 do
    local is_list = i <= 2
    local size = redis.call(is_list and 'LLEN' or 'ZCARD', KEYS[i])
    if size > 0 then
        local ids = redis.call(is_list and 'LRANGE' or 'ZRANGE', KEYS[i], 0, sample - 1)
        total = total + size * (memory_of_tasks(ids) / #ids) + memory_of(KEYS[i])
    end
end

local sum, count = 0, 0
for _, group in ipairs(redis.call('SRANDMEMBER', KEYS[7], ARGV[4])) do
    local ids = redis.call('ZRANGE', ARGV[2] .. group, 0, sample - 1)
    sum, count = sum + memory_of_tasks(ids), count + #ids
end
if count > 0 then
    total = total + tonumber(ARGV[5]) * (sum / count)
end
return math.floor(total)
