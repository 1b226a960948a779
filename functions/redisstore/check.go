package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"freshet/shared/problem"
)

// readyKey is written to see whether writing is possible.
const readyKey = "freshet:probe"

// probeScript uses the commands that the scripts use, on a key that is gone after a minute. It begins with one that needs memory: a script
// that has written anything, be it a DEL of nothing, may use as much as it likes.
var probeScript = redis.NewScript(`
redis.call('SET', KEYS[1], '1', 'PX', '60000')
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'a', '1')
redis.call('HDEL', KEYS[1], 'a')
redis.call('HMGET', KEYS[1], 'a')
redis.call('HGET', KEYS[1], 'a')
redis.call('HGETALL', KEYS[1])
redis.call('HLEN', KEYS[1])
redis.call('MSET', KEYS[1], '1')
redis.call('DEL', KEYS[1])
redis.call('EXISTS', KEYS[1])
redis.call('XADD', KEYS[1], 'MAXLEN', '~', '1', '*', 'a', '1')
redis.call('XTRIM', KEYS[1], 'MINID', '~', '1')
redis.call('XLEN', KEYS[1])
redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)
redis.call('XDEL', KEYS[1], '1-1')
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[1], '1', 'PX', '60000')
return 'OK'`)

// Check tries everything that a sink needs of its Redis and reports what is in the way, all at once. Nothing of it touches data.
func (s *Store) Check(ctx context.Context, sink string) problem.List {
	if err := s.client.Ping(ctx).Err(); err != nil && !redis.HasErrorPrefix(err, "NOPERM") {
		return problem.List{s.trouble(err)}
	}
	found := append(s.tryCommands(ctx, sink), s.inspect(ctx)...)
	return distinct(append(found, s.findLetters(ctx, sink)...))
}

// tryCommands does once what will be done for ever.
func (s *Store) tryCommands(ctx context.Context, sink string) (found problem.List) {
	key, state := probeKey(sink), stateKey(sink)
	note := func(doing string, err error) {
		if err == nil || errors.Is(err, redis.Nil) {
			return
		}
		p := s.trouble(err)
		p.Why = doing + ": " + p.Why
		found = append(found, p)
	}
	note("SET "+key, s.client.Set(ctx, key, "1", time.Minute).Err())
	note("GET "+key, s.client.Get(ctx, key).Err())
	note("MGET "+key, s.client.MGet(ctx, key).Err())
	note("EXISTS "+key, s.client.Exists(ctx, key).Err())
	note("EVAL with HSET, HDEL, HGET, HMGET, HGETALL, HLEN, MSET, SET, DEL, EXISTS, XADD, XTRIM, XLEN, XRANGE, XDEL on "+key, probeScript.Run(ctx, s.client, []string{key}).Err())
	note("HGETALL "+state, s.client.HGetAll(ctx, state).Err())
	note("SCAN", s.client.Scan(ctx, 0, glob(key), 1).Err())
	note("DEL "+key, s.client.Del(ctx, key).Err())
	return append(found, s.tryTransaction(ctx, key)...)
}

// tryTransaction looks whether large batches can be written the quick way.
func (s *Store) tryTransaction(ctx context.Context, key string) problem.List {
	err := s.client.Watch(ctx, func(tx *redis.Tx) error {
		_, err := tx.TxPipelined(ctx, func(p redis.Pipeliner) error { return p.Exists(ctx, key).Err() })
		return err
	}, key)
	if err == nil || errors.Is(err, redis.TxFailedErr) || !strings.Contains(err.Error(), "NOPERM") && !redis.HasErrorPrefix(err, "ERR unknown command") {
		return nil
	}
	return problem.List{{
		What: "large batches are written by a script alone", Why: "WATCH, MULTI and EXEC are refused: " + err.Error() + "; a script costs Redis twice as much for each value",
		Fix: "ACL SETUSER <user> +@transaction", Warning: true,
	}}
}

// distinct joins findings of the same name: a replica refuses every write alike.
func distinct(all problem.List) (rest problem.List) {
	seen := map[string]*problem.Error{}
	for _, p := range all {
		if first := seen[p.What]; first != nil {
			first.Why += "; " + p.Why
			continue
		}
		seen[p.What] = p
		rest = append(rest, p)
	}
	return rest
}

// inspect reads what Redis says of itself. A user who may not ask is no finding.
func (s *Store) inspect(ctx context.Context) (found problem.List) {
	text, err := s.client.Info(ctx).Result()
	if err != nil {
		return nil
	}
	info := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			info[name] = value
		}
	}
	return judge(info)
}

// judge draws conclusions from INFO.
func judge(info map[string]string) (found problem.List) {
	if info["role"] == "slave" {
		found = append(found, &problem.Error{
			What: "this Redis is a read-only replica", Why: "INFO says role:slave, of " + info["master_host"], Fix: "connect to the primary", Transient: true,
		})
	}
	if info["cluster_enabled"] == "1" {
		found = append(found, &problem.Error{
			What: "this Redis is a node of a cluster", Why: "one script cannot write keys that live on several nodes", Fix: "use a single Redis, or a primary with replicas",
		})
	}
	if policy := info["maxmemory_policy"]; strings.HasPrefix(policy, "allkeys-") {
		found = append(found, &problem.Error{
			What: "Redis may evict freshet's own state", Why: "maxmemory-policy is " + policy + "; when the state goes, the whole sink is filled again",
			Fix: "use volatile-lru with FN_EXPIRE_MS, or noeviction and enough memory", Warning: true,
		})
	}
	return append(found, memory(info)...)
}

// nearlyFull is the share of maxmemory from which it is worth a word.
const nearlyFull = 0.9

func memory(info map[string]string) problem.List {
	used, _ := strconv.ParseFloat(info["used_memory"], 64)
	most, _ := strconv.ParseFloat(info["maxmemory"], 64)
	if most == 0 || used < nearlyFull*most {
		return nil
	}
	return problem.List{{
		What: "Redis is nearly out of memory", Why: fmt.Sprintf("%s of %s are used", info["used_memory_human"], info["maxmemory_human"]),
		Fix: "raise maxmemory, or remove keys", Warning: true,
	}}
}
