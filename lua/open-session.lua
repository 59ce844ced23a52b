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
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)

local number
for _ = 1, numbers do
    number = redis.call('HINCRBY', sessions, 'last', 1) % numbers
    local renewed_ms = tonumber(string.match(redis.call('HGET', sessions, number) or '', '^%d+'))
    if not renewed_ms or math.abs(now_ms - renewed_ms) > abandoned then
        break
    end
end
--@include session
write_session(sessions, number, ARGV[1], time, ARGV[4])
return number
