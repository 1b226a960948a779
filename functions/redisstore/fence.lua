-- The one script that writes for a session. It looks whether the batch is the next of its lane, does the writes, and then
-- says so in the state, so that a late, doubled or foreign batch changes nothing.
--
-- KEYS  the state; keys to set; keys to set that expire; keys to set if they are there; keys to delete
-- ARGV  1 session  2 lane  3 seq  4 after, one count a lane  5 through  6 seal
--       7 how many fields of the state follow, each with its value (backfills; how far a truncate has come)
--       8 how many keys to set  9 how many of those that expire  10 how many of those that must be there
--       11 "1" to advance the state, "0" for a part of a truncate, whose last part advances it
--       then the fields; then a value for each key to set; then value and milliseconds for each that expires or must be there; 0 milliseconds
--       leave the key's own expiry as it is
--
-- Redis neither undoes nor repeats what a script did before it failed. So the state comes last, and in one command: when a write is
-- refused half way (out of memory, a missing right), the lane has not advanced, and the next attempt writes the same absolute
-- values again.
local state, lane = KEYS[1], 'lane:' .. ARGV[2]
local seq = tonumber(ARGV[3])
local through, seal = ARGV[5], ARGV[6]
local fields, plain, expiring, refreshed = 2 * tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])

local wanted, answered = { 'session', lane, 'count', 'sealed' }, {}
for count in string.gmatch(ARGV[4], '%d+') do
  answered[#answered + 1] = tonumber(count)
  wanted[#wanted + 1] = 'lane:' .. #answered - 1
end
local found = redis.call('HMGET', state, unpack(wanted))
local session, progress, count, sealed = found[1], found[2], tonumber(found[3] or 0), found[4]
if not session then return 'lost state' end
if session ~= ARGV[1] then return 'fenced' end
if not progress or not sealed then return 'lost state' end
local applied, reached = string.match(progress, '^(%d+) (.+)$')
applied = tonumber(applied)
if applied >= seq then return 'duplicate' end
if applied < seq - 1 then return 'lost lane' end
-- Redis forgot a batch, perhaps of another lane, that it had answered for: then the seal, which counts on it, is not true.
for i = 1, #answered do
  if answered[i] > 0 and answered[i] > tonumber(string.match(found[4 + i] or '0', '^%d+')) then return 'lost batch' end
end

-- ahead compares hex numbers piece by piece. Comparing them as text would follow the server's locale.
local function ahead(a, b, pieces)
  local p, q = { string.match(a, pieces) }, { string.match(b, pieces) }
  for i = 1, #p do
    local x, y = tonumber(p[i], 16), tonumber(q[i], 16)
    if x ~= y then return x > y end
  end
  return false
end
if ahead(through, reached, '^(%x%x%x%x%x%x%x%x)(%x%x%x%x%x%x%x%x)%-(%x+)$') then reached = through end
if ahead(seal, sealed, '^(%x+)/(%x+)$') then sealed = seal end

-- Lua unpacks no more than some thousands of values at once.
local chunk = 1000

local value = 11 + fields
for first = 1, plain, chunk do
  local last = math.min(first + chunk - 1, plain)
  local set, n = {}, 0
  for i = first, last do
    set[n + 1], set[n + 2], n = KEYS[1 + i], ARGV[value + i], n + 2
  end
  redis.call('MSET', unpack(set))
end
value = value + plain
for i = 1, expiring do
  redis.call('SET', KEYS[1 + plain + i], ARGV[value + 2 * i - 1], 'PX', ARGV[value + 2 * i])
end
value = value + 2 * expiring
for i = 1, refreshed do
  local key, text, ms = KEYS[1 + plain + expiring + i], ARGV[value + 2 * i - 1], ARGV[value + 2 * i]
  if ms == '0' then
    redis.call('SET', key, text, 'XX', 'KEEPTTL')
  else
    redis.call('SET', key, text, 'XX', 'PX', ms)
  end
end
for first = 2 + plain + expiring + refreshed, #KEYS, chunk do
  redis.call('DEL', unpack(KEYS, first, math.min(first + chunk - 1, #KEYS)))
end
if ARGV[11] ~= '1' then
  if fields > 0 then redis.call('HSET', state, unpack(ARGV, 12, 11 + fields)) end
  return 'applied'
end

redis.call('HSET', state, lane, ARGV[3] .. ' ' .. reached, 'sealed', sealed, 'count', string.format('%.0f', count + 1), unpack(ARGV, 12, 11 + fields))
return 'applied'
