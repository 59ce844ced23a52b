-- Writes the session of a server: Redis's time (ms), a space, and what the server says of it (timeout in ms, identity).
-- `life` of the key (s).
local function write_session(sessions, number, about, time, life)
    redis.call('HSET', sessions, number, time[1] .. string.format('%03d ', math.floor(time[2] / 1000)) .. about)
    redis.call('EXPIRE', sessions, life)
end
