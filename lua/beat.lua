-- Renews a server's own records.
--
--@takes 2 3
-- KEYS: the server's record, its workers' record
-- ARGV: content of the server's record, life of the records (s), channel that wakes the server
-- Result: workers in the record, Redis's time (s, us), 1 if servers can be woken (else this Redis has no PUBLISH)
-- Bound: one server
--
-- The empty message on the server's own channel shows it that its subscriber connection works. The lists in which user
-- interfaces find the records, and the roles in queues, stand in other slots of a cluster: see announce and take-role.
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
redis.call('EXPIRE', KEYS[2], ARGV[2])
local told = redis.pcall('PUBLISH', ARGV[3], '')
local time = redis.call('TIME')
return { redis.call('HLEN', KEYS[2]), tonumber(time[1]), tonumber(time[2]), type(told) == 'number' and 1 or 0 }
