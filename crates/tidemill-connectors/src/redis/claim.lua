-- Makes the caller the owner of the marker KEYS[1], so that whoever owned it before writes nothing more.
-- ARGV: 1 nonce. Answers the generation and the fields of the marker.
local held = redis.call('HGET', KEYS[1], 'owner')
local generation = string.format('%.0f', (held and tonumber(string.match(held, '^%d+')) or 0) + 1)
redis.call('HSET', KEYS[1], 'owner', generation .. '/' .. ARGV[1])
return {generation, redis.call('HGETALL', KEYS[1])}
