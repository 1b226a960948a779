-- Begins a session, if the state is still the one the decision was made for: a batch of the session before may come in between.
--
-- KEYS  the state; the keys of the lanes of the session before, whose batches shall find them touched
-- ARGV  1 the session that was found, empty for none  2 its count, empty for none
--       3 how many fields to set, each with its value  4 how many to remove
--       then both
local found = redis.call('HMGET', KEYS[1], 'session', 'count')
if (found[1] or '') ~= ARGV[1] or (found[2] or '') ~= ARGV[2] then return 'changed' end

-- Set first: were the removal refused, the state would still be whole.
local chunk, last = 1000, 4 + 2 * tonumber(ARGV[3])
for first = 5, last, chunk do
  redis.call('HSET', KEYS[1], unpack(ARGV, first, math.min(first + chunk - 1, last)))
end
for first = last + 1, #ARGV, chunk do
  redis.call('HDEL', KEYS[1], unpack(ARGV, first, math.min(first + chunk - 1, #ARGV)))
end
redis.call('HDEL', KEYS[1], 'opening')
if #KEYS > 1 then redis.call('DEL', unpack(KEYS, 2)) end
return 'replaced'
