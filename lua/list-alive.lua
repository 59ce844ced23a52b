-- Lists records whose life has not ended, and forgets the others if the user may write.
--
--@takes 1 1
-- KEYS: list of records (servers, workers or schedulers)
-- ARGV: now (s)
-- Result: names of the records
-- Bound: the records of a fleet
--@include sure-now
local now = sure_now(ARGV[1])
if redis.call('ZCOUNT', KEYS[1], '-inf', now - 1) > 0 then
    redis.pcall('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - 1)
end
return redis.call('ZRANGEBYSCORE', KEYS[1], now, '+inf')
