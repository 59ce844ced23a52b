-- Adds an event to the history of a periodic entry, of which the newest so many stay.
--
--@takes 1 4
-- KEYS: history
-- ARGV: time (Unix s), event, most events, life of the history (s)
-- Bound: the history of an entry (1,000)
redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -1 - ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[4])
return 0
