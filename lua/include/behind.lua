-- Where a list goes on behind tasks that were read from it before: ARGV[at] and all that follow, which stood directly
-- before `first`. Others have pushed tasks in front, or taken some away: those read last have moved, or gone. What
-- follows the last one of them that is found comes next.
local function rank_behind_in_list(list, first, at)
    if redis.call('LINDEX', list, first - 1) == ARGV[#ARGV] then
        return first
    end
    local places, max_moved = {}, 500
    local from = math.max(0, first - (#ARGV - at + 1) - max_moved)
    for i, id in ipairs(redis.call('LRANGE', list, from, first + max_moved)) do
        local place = from + i
        if not places[id] or math.abs(place - first) < math.abs(places[id] - first) then
            places[id] = place
        end
    end
    for i = #ARGV, at, -1 do
        if places[ARGV[i]] then
            return places[ARGV[i]]
        end
    end
    return first
end
