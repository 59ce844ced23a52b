-- The caller's time (Unix s), or Redis's if that is earlier: a caller whose clock is fast takes nothing that others hold,
-- and ends nothing that is still to stay.
local function sure_now(now)
    return math.min(tonumber(now), tonumber(redis.call('TIME')[1]))
end
