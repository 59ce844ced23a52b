-- Looks through a part of the groups: when is each due? Changes nothing.
--
--@takes 1 6
-- KEYS: groups
-- ARGV: prefix of the queue's group keys, cursor, about how many to look at, grace period (s), longest delay (s; 0: none),
--       most tasks (0: any number)
-- Result: next cursor, then name of each group, and when it is due if nothing else joins it (Unix s; 0: at once)
-- Bound: three reads of one element per group; groups are asked for by the 100
--
--@include group-due
local limits = { grace = tonumber(ARGV[4]), longest = tonumber(ARGV[5]), max = tonumber(ARGV[6]) }
local page = redis.call('SSCAN', KEYS[1], ARGV[2], 'COUNT', ARGV[3])
local result = { page[1] }
for _, name in ipairs(page[2]) do
    local group = ARGV[1] .. name
    local due = 0 -- of a key that is no group, too: whoever takes it will be told
    if redis.call('TYPE', group).ok == 'zset' then
        _, due = group_due(group, limits)
    end
    result[#result + 1] = name
    result[#result + 1] = due
end
return result
