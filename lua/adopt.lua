-- Gives an active task that nobody holds a lease for a lease in the past, so that recovery takes it like any other.
--
-- KEYS: active, lease
-- ARGV: score, then ids
-- Result: number adopted
local adopted = 0
for i = 2, #ARGV do
    if redis.call('LPOS', KEYS[1], ARGV[i]) then
        adopted = adopted + redis.call('ZADD', KEYS[2], 'NX', ARGV[1], ARGV[i])
    end
end
return adopted
