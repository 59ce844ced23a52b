-- Opens a session of a server, and hands out the number that stands in the tags of its leases.
--
--@takes 1 4
-- KEYS: sessions
-- ARGV: timeout (ms) and identity of the server, how many numbers there are, how long nobody has renewed a session whose
--       number is given to another server (ms), life of the key (s)
-- Result: the number
-- Bound: the numbers there are (896)
--
-- The number of a live server is given to nobody else, unless all are in use: then two servers share one, and as long as
-- one of them lives, the tasks of the other are recovered when their leases have expired.
local sessions, numbers, abandoned = KEYS[1], tonumber(ARGV[2]), tonumber(ARGV[3])
--@include ms-of
local time = redis.call('TIME')
local now_ms = ms_of(time)

-- Only the number handed out last has so small a score.
local first_session = 1000000000000
redis.call('ZREMRANGEBYSCORE', sessions, first_session, now_ms - abandoned)
local is_used = {}
for _, session in ipairs(redis.call('ZRANGEBYSCORE', sessions, first_session, '+inf', 'LIMIT', 0, 2 * numbers)) do
    is_used[tonumber(string.match(session, '^%d+'))] = true
end
local number
for _ = 1, numbers do
    number = redis.call('ZINCRBY', sessions, 1, 'last') % numbers
    if not is_used[number] then
        break
    end
end
--@include session
write_session(sessions, number .. ' ' .. ARGV[1], time, ARGV[4])
return number
