-- Takes aggregation sets whose time is over back into their groups.
--
-- KEYS: list of aggregation sets, list of groups
-- ARGV: prefix of the queue's group keys, now (s), most sets
-- Result: names of the sets taken back
--@include sure-now
local sets, groups = KEYS[1], KEYS[2]
local group_prefix = ARGV[1]
local taken_back = redis.call('ZRANGEBYSCORE', sets, '-inf', sure_now(ARGV[2]), 'LIMIT', 0, ARGV[3])
for _, set in ipairs(taken_back) do
    local group = string.match(set, '^(.*):')
    if group and redis.call('EXISTS', set) == 1 then
        redis.call('ZUNIONSTORE', group, 2, group, set, 'AGGREGATE', 'MIN')
        redis.call('DEL', set)
        if string.sub(group, 1, #group_prefix) == group_prefix then
            redis.call('SADD', groups, string.sub(group, #group_prefix + 1))
        end
    end
    redis.call('ZREM', sets, set)
end
return taken_back
