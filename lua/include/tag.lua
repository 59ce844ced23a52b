-- The tag in a lease's score: its fraction in units of 2^-22.
local function tag_of(score)
    return math.floor(score % 1 * 4194304 + 0.5)
end
