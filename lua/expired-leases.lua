-- Lists tasks whose lease ended long ago. Changes nothing.
--
-- KEYS: lease
-- ARGV: prefix of the queue's task keys, cutoff (s), first, most
-- Result: id, score and message (nil if there is none) of each
local result = {}
local found = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[2], 'WITHSCORES', 'LIMIT', ARGV[3], ARGV[4])
for i = 1, #found, 2 do
    result[#result + 1] = found[i]
    result[#result + 1] = found[i + 1]
    local message = redis.pcall('HGET', ARGV[1] .. found[i], 'msg')
    result[#result + 1] = type(message) == 'string' and message
end
return result
