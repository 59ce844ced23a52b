-- What TIME has answered, in milliseconds.
local function ms_of(time)
    return time[1] * 1000 + math.floor(time[2] / 1000)
end
