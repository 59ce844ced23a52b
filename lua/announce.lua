-- Puts a server's record into the list of servers, where user interfaces find it.
--
--@takes 1 2
-- KEYS: list of servers
-- ARGV: name of the record, end of its life (Unix s)
-- Result: servers alive
-- Bound: one record
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
return redis.call('ZCOUNT', KEYS[1], redis.call('TIME')[1], '+inf')
