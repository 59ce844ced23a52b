-- Renews a server's own records, and where all keys are on one node also what names them and the server's roles.
--
--@takes 2+ 3+
-- KEYS: the server's record, its workers' record; on one node also the lists of servers and of workers, the sessions, then
--       for each role: watchers, parked, pending
-- ARGV: content of the server's record, life of the records (s), channel that wakes the server; on one node also the end
--       of the records' life (Unix s), id of the server, prefix of the channels that wake servers, most watchers of a
--       queue, life of a role (s), number of roles, the session to be renewed ("": none), and the life of its key (s)
-- Result: workers in the record, Redis's time (s, us), 1 if servers can be woken (else this Redis has no PUBLISH); on one
--       node also the servers alive, 1 if the session was renewed, and for each role what take-role.lua answers, -1 where
--       that fails
-- Bound: one server, 64 roles
--
-- The empty message on the server's own channel shows it that its subscriber connection works. In a cluster the lists and
-- the roles are in other slots: see announce and take-role.
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
redis.call('EXPIRE', KEYS[2], ARGV[2])
local told = redis.pcall('PUBLISH', ARGV[3], '')
local time = redis.call('TIME')
local result = {
    redis.call('HLEN', KEYS[2]), tonumber(time[1]), tonumber(time[2]), type(told) == 'number' and 1 or 0
}
if not ARGV[4] then
    return result
end

redis.call('ZADD', KEYS[4], ARGV[4], KEYS[2])
redis.call('ZADD', KEYS[3], ARGV[4], KEYS[1])
result[5] = redis.call('ZCOUNT', KEYS[3], time[1], '+inf')
--@include session
result[6] = ARGV[10] ~= '' and pcall(write_session, KEYS[5], ARGV[10], time, ARGV[11]) and 1 or 0
if ARGV[9] ~= '0' then
    --@include role
    for i = 1, tonumber(ARGV[9]) do
        local keys = { KEYS[3 * i + 3], KEYS[3 * i + 4], KEYS[3 * i + 5] }
        local is_taken, role = pcall(take_role, keys, ARGV[5], ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8]),
            tonumber(time[1]))
        result[#result + 1] = is_taken and role or -1
    end
end
return result
