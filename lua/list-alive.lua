-- Lists records whose life has not ended, and forgets the others.
--
-- KEYS: list of records (servers, workers or schedulers)
-- ARGV: now (s)
-- Result: names of the records
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[1] - 1)
return redis.call('ZRANGEBYSCORE', KEYS[1], ARGV[1], '+inf')
