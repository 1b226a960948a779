package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"freshet/local/server"
)

// guardedRedis gives the rig a Redis server of its own, in which the function is the user freshet.
func (r *rig) guardedRedis(args ...string) *server.Redis {
	r.Helper()
	s, err := server.StartRedis(context.Background(), server.RedisOptions{Args: args})
	if err != nil {
		r.Fatal(err)
	}
	r.redis = redis.NewClient(&redis.Options{Addr: s.Addr, Protocol: 2})
	client := r.redis
	r.Cleanup(func() {
		client.Close()
		if err := s.Close(); err != nil {
			r.Error(err)
		}
	})
	r.redisDo("ACL SETUSER freshet on >" + secret + " ~* &* +@all")
	r.fnExtra["REDIS_URL"] = fmt.Sprintf("redis://freshet:%s@%s/0", secret, s.Addr)
	return s
}

// redisDo runs a command whose arguments have no spaces.
func (r *rig) redisDo(command string) {
	r.Helper()
	var args []any
	for _, arg := range strings.Fields(command) {
		args = append(args, arg)
	}
	if err := r.redis.Do(context.Background(), args...).Err(); err != nil {
		r.Fatalf("%s: %v", command, err)
	}
}

// Redis refuses single commands in all the ways it has. Nothing may be answered for, nothing lost, and both programs say why they are not ready.
func TestRedisRefuses(t *testing.T) {
	t.Parallel()
	r := newRig(t, "counters", versioned)
	r.guardedRedis("--maxmemory-policy", "noeviction")
	// One lane, so that a batch both writes and deletes.
	r.pollExtra["POLLER_REPLAY_WINDOW"], r.pollExtra["POLLER_RETRY_MAX"], r.pollExtra["POLLER_LANES"] = "0s", "500ms", "1"
	r.exec("INSERT INTO counters SELECT generate_series(1, 100)")
	r.start()
	r.wantEqual(patience, "counters")
	watch := r.watchCounters(10)
	for _, c := range []struct {
		name, refuse, heal, says string
		complete                 bool // all keys are written, only the state is not
	}{
		{"maxmemory is reached", "CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0", "out of memory", false},
		{"it becomes a read-only replica", "REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE", "read-only replica", false},
		{"the user may not write", "ACL SETUSER freshet -@write", "ACL SETUSER freshet +@all", "may not do this", false},
		{"the script dies between its writes and its deletes", "ACL SETUSER freshet -del", "ACL SETUSER freshet +@all", "may not do this", false},
		{"the script dies before it notes what it did", "ACL SETUSER freshet -hset", "ACL SETUSER freshet +@all", "may not do this", true},
	} {
		began := r.now()
		r.wantConfirmed(patience, began)
		r.redisDo(c.refuse)
		r.exec("BEGIN; UPDATE counters SET version = version + 1; DELETE FROM counters WHERE id = (SELECT max(id) FROM counters); COMMIT")
		written := r.now()
		for _, base := range []string{r.fnURL(), "http://" + r.adminAddr()} {
			eventually(t, patience, func() error { return saysWhy(base, c.says) })
		}
		always(t, time.Second/2, func() error {
			if r.reaches(written) {
				return fmt.Errorf("%s: it was confirmed all the same", c.name)
			}
			return nil
		})
		if v := r.compare("counters"); v.Equal() && !c.complete {
			t.Errorf("%s: all was written, the test shows nothing", c.name)
		}
		r.redisDo(c.heal)
		r.wantEqual(patience, "counters")
		r.waitReady(r.fnURL())
		r.waitReady("http://" + r.adminAddr())
		r.wantConfirmed(patience, written)
	}
	watch.wantForward(10)
}

// saysWhy is nil when /readyz says no, and why.
func saysWhy(base, why string) error {
	status, body, err := fetch(base + "/readyz")
	if err == nil && (status != http.StatusServiceUnavailable || !strings.Contains(body, why)) {
		err = fmt.Errorf("GET %s/readyz: %d %s, want 503 and %q", base, status, body, why)
	}
	return err
}
