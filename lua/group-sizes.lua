--@takes 1 3
-- KEYS: groups
-- ARGV: prefix of the queue's group keys, cursor, about how many to look at
-- Result: next cursor, then name and size of each group
-- Bound: 64 groups
local page = redis.call('SSCAN', KEYS[1], ARGV[2], 'COUNT', ARGV[3])
local result = { page[1] }
for _, group in ipairs(page[2]) do
    result[#result + 1] = group
    result[#result + 1] = redis.call('ZCARD', ARGV[1] .. group)
end
return result
