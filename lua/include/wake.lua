-- Wakes one parked server, if there is one; those that are gone are passed over. Where PUBLISH is refused none can be
-- woken; that must not stop a script that has written.
local function wake_parked(parked, channel_prefix, queue)
    local id, heard
    repeat
        id = redis.call('ZPOPMIN', parked)[1]
        heard = id and redis.pcall('PUBLISH', channel_prefix .. id, queue)
    until not id or type(heard) ~= 'number' or heard > 0
end
