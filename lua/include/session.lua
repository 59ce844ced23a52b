-- Renews the session of a server. `session`: its number, timeout (ms) and identity; `life` of the key (s).
local function write_session(sessions, session, time, life)
    redis.call('ZADD', sessions, time[1] .. string.format('%03d', math.floor(time[2] / 1000)), session)
    redis.call('EXPIRE', sessions, life)
end
