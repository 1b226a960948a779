-- Deletes keys for a session, if it is still the sink's.
--
-- KEYS  the state; keys to delete
-- ARGV  1 session
local session = redis.call('HMGET', KEYS[1], 'session')[1]
if not session then return 'lost state' end
if session ~= ARGV[1] then return 'fenced' end

local chunk, deleted = 1000, 0
for first = 2, #KEYS, chunk do
  deleted = deleted + redis.call('DEL', unpack(KEYS, first, math.min(first + chunk - 1, #KEYS)))
end
return 'deleted ' .. deleted
