-- Lists records whose life has not ended, and forgets the others.
--
-- KEYS: list of records (servers, workers or schedulers)
-- ARGV: now (s)
-- Result: names of the records
-- Bound: the records of a fleet
--@include sure-now
local now = sure_now(ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - 1)
return redis.call('ZRANGEBYSCORE', KEYS[1], now, '+inf')
