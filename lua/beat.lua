-- Renews a server's records, and its roles in queues.
--
-- KEYS: list of servers, list of workers' records, the server's record, its workers' record,
--       then for each queue in which it has a role: watchers, parked, pending
-- ARGV: expiry (Unix s), content of the server's record, life of the records (s), id of the server,
--       prefix of the channels that wake servers, most watchers of a queue, life of an entry (s)
-- Result: workers in the record, Redis's time (s, us), servers alive, then the roles as take-roles gives them
--
-- The empty message on the server's own channel shows it that its subscriber connection works.
--@include roles
local id, channel_prefix = ARGV[4], ARGV[5]
redis.call('ZADD', KEYS[1], ARGV[1], KEYS[3])
redis.call('ZADD', KEYS[2], ARGV[1], KEYS[4])
redis.call('SET', KEYS[3], ARGV[2], 'EX', ARGV[3])
redis.call('EXPIRE', KEYS[4], ARGV[3])
redis.call('PUBLISH', channel_prefix .. id, '')
local time = redis.call('TIME')
local result = { redis.call('HLEN', KEYS[4]), tonumber(time[1]), tonumber(time[2]),
    redis.call('ZCOUNT', KEYS[1], time[1], '+inf') }
for _, role in ipairs(take_roles(5, id, channel_prefix, tonumber(ARGV[6]), tonumber(ARGV[7]))) do
    result[#result + 1] = role
end
return result
