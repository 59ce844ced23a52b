-- Gives tokens of a semaphore back, prolongs some, and takes others. The set has the holders with the times until which
-- they hold; Asynq's x/rate has the same set.
--
--@takes 1 2+
-- KEYS: semaphore
-- ARGV: number of tokens there are, now (Unix s),
--       n, then n times: holder, time that must be its own ("": any)       to be given back
--       n, then n times: holder, new time                                  to be prolonged
--       n, then n times: holder, time, 1 if it may have asked before       to be taken
-- Result: number given back, then for each that is to be taken 1 or 0 (there is none left)
-- Bound: the tokens that there are, and the holders given (64)
local semaphore = KEYS[1]
local max = tonumber(ARGV[1])
local results, at = { 0 }, 3

local function each(width, act)
    local n = tonumber(ARGV[at])
    at = at + 1
    for _ = 1, n do
        act(ARGV[at], ARGV[at + 1], ARGV[at + 2])
        at = at + width
    end
end

each(2, function(holder, own)
    local held = redis.call('ZSCORE', semaphore, holder)
    if held and (own == '' or tonumber(held) == tonumber(own)) then
        results[1] = results[1] + redis.call('ZREM', semaphore, holder)
    end
end)
-- Also if it was lost meanwhile: the holder is at work, so it counts.
each(2, function(holder, till)
    redis.call('ZADD', semaphore, till, holder)
end)
--@include sure-now
-- Whoever holds until this second still does.
redis.call('ZREMRANGEBYSCORE', semaphore, '-inf', sure_now(ARGV[2]) - 1)
local taken = redis.call('ZCARD', semaphore)
each(3, function(holder, till, again)
    local has_one = again == '1' and redis.call('ZSCORE', semaphore, holder)
    if taken < max or has_one then
        taken = taken + redis.call('ZADD', semaphore, till, holder)
        results[#results + 1] = 1
    else
        results[#results + 1] = 0
    end
end)
return results
