-- Wakes one parked server, if there is one; those that are gone are passed over.
local function wake_parked(parked, channel_prefix, queue)
    local id
    repeat
        id = redis.call('ZPOPMIN', parked)[1]
    until not id or redis.call('PUBLISH', channel_prefix .. id, queue) > 0
end
