-- Forgets a dead letter.
--
-- KEYS  the dead letters; the keys of those; the letter's keys
-- ARGV  the letter
for i = 3, #KEYS do
  if redis.call('HGET', KEYS[2], KEYS[i]) == ARGV[1] then redis.call('HDEL', KEYS[2], KEYS[i]) end
end
if redis.call('XDEL', KEYS[1], ARGV[1]) == 0 then return 'gone' end
return 'dropped'
