-- Renews leases of one queue, if they are still ours.
--
--@takes 1 0+
-- KEYS: lease
-- ARGV: groups: tag of the lease, new score, n, then n ids
-- Result: for each task 1 (renewed), 0 (no lease), -1 (the lease belongs to somebody else)
-- Bound: 64 leases
--@include tag
local results, renewed = {}, {}
local at = 1
while at <= #ARGV do
    local tag, score, n = tonumber(ARGV[at]), ARGV[at + 1], tonumber(ARGV[at + 2])
    for i = at + 3, at + 2 + n do
        local held = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[i]) or nil)
        if not held then
            results[#results + 1] = 0
        elseif tag_of(held) ~= tag then
            results[#results + 1] = -1
        else
            renewed[#renewed + 1] = score
            renewed[#renewed + 1] = ARGV[i]
            results[#results + 1] = 1
        end
    end
    at = at + 3 + n
end
if #renewed > 0 then
    redis.call('ZADD', KEYS[1], 'XX', unpack(renewed))
end
return results
