--@include ms-of
-- Renews the session of a server. `session`: its number, timeout (ms) and identity; `life` of the key (s).
local function write_session(sessions, session, time, life)
    redis.call('ZADD', sessions, ms_of(time), session)
    redis.call('EXPIRE', sessions, life)
end
