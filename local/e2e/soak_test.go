package e2e_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"freshet/local/server"
)

// Settings of the soak; make soak sets them.
const (
	envSoak        = "FRESHET_SOAK"
	envSoakMinutes = "FRESHET_SOAK_MINUTES"
	envSoakSeed    = "FRESHET_SOAK_SEED"
)

// soak is a cluster with a Redis of its own under random loads and faults. Its choices follow from the seed; the moments when things happen do not.
type soak struct {
	*cluster
	random *rand.Rand
	server *server.Redis
	paused atomic.Bool // the loads
	rounds int

	watching *watch
	steps    int // forward, of the watches before
}

// forgets makes Redis lose something. Keys vanish then, and the stream is played again from where the slot is, which is no step backwards.
func (s *soak) forgets(lose func()) {
	s.Helper()
	s.watching.wantForward(0)
	s.steps += s.watching.watcher.Seen().Steps
	lose()
	s.watching = s.watchCounters()
}

// TestSoak mixes loads and faults for minutes. At quiet points everything must be equal; at no time may a counter go back.
func TestSoak(t *testing.T) {
	if !soaking {
		t.Skip("runs for minutes: make soak MINUTES=5 SEED=1")
	}
	minutes, err := strconv.ParseFloat(os.Getenv(envSoakMinutes), 64)
	if err != nil {
		minutes = 5
	}
	seed, err := strconv.ParseUint(os.Getenv(envSoakSeed), 10, 64)
	if err != nil {
		seed = rand.Uint64N(1_000_000)
	}
	t.Logf("seed %d, %.1f minutes", seed, minutes)
	s := newSoak(t, seed)
	s.watching = s.watchCounters()
	load := s.load()
	for end := time.Now().Add(time.Duration(minutes * float64(time.Minute))); time.Now().Before(end) && !t.Failed(); s.rounds++ {
		s.round()
	}
	load.close()
	s.wantEqual(2*patience, soakTables...)
	s.watching.wantForward(0)
	t.Logf("seed %d: %d rounds, %d statements, %d steps forward", seed, s.rounds, load.done.Load(), s.steps+s.watching.watcher.Seen().Steps)
}

var soakTables = []string{"products", "orders", "counters", "papers", "leaves"}

func newSoak(t *testing.T, seed uint64) *soak {
	c := newCluster(t, "products,orders,counters,papers,leaves", shop+counters+papers+"CREATE TABLE leaves (id int PRIMARY KEY, v int);", nil)
	s := &soak{cluster: c, random: rand.New(rand.NewPCG(seed, 0))}
	var err error
	s.server, err = server.StartRedis(t.Context(), server.RedisOptions{Args: []string{"--appendonly", "yes", "--appendfsync", "everysec"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.server.Close(); err != nil {
			t.Error(err)
		}
	})
	s.redis = redis.NewClient(&redis.Options{Addr: s.server.Addr, Protocol: 2, MaxRetries: 100, MinRetryBackoff: 10 * time.Millisecond, MaxRetryBackoff: 100 * time.Millisecond})
	t.Cleanup(func() { s.redis.Close() })
	s.fnExtra["REDIS_URL"] = s.server.URL
	s.pollExtra["POLLER_HEARTBEAT"] = "2s"
	if s.random.IntN(2) == 0 {
		s.pollExtra["POLLER_REPLAY_WINDOW"] = "0s"
	}
	t.Logf("replay window %q", s.pollExtra["POLLER_REPLAY_WINDOW"])
	c.stock(2000, 1000)
	c.start()
	c.wantEqual(patience, soakTables...)
	return s
}

// load has everything a table can suffer done to it, by random of its own: the seed decides the faults.
func (s *soak) load() *trade {
	return s.workers(4, func(ctx context.Context, db *pgx.Conn, worker, n int) error {
		for s.paused.Load() && ctx.Err() == nil {
			time.Sleep(pace)
		}
		if worker > 1 {
			if n%2 == 0 {
				_, err := db.Exec(ctx, "UPDATE counters SET n = n + 1 WHERE id = $1", 1+rand.IntN(20))
				return err
			}
			return deal(ctx, db, worker, n/2, 2000)
		}
		_, err := db.Exec(ctx, soakLoads[rand.IntN(len(soakLoads))](worker, n))
		return err
	})
}

// soakLoads are statements; their rows are those of their worker where two could wait for each other.
var soakLoads = []func(worker, n int) string{
	func(w, n int) string {
		return fmt.Sprintf("UPDATE papers SET seen = seen + 1 WHERE id = %d", 1+2*rand.IntN(10)+w)
	},
	func(w, n int) string {
		return fmt.Sprintf("UPDATE papers SET body = repeat(md5('%d'), 1500), seen = seen + 1 WHERE id = %d", n, 1+2*rand.IntN(10)+w)
	},
	func(w, n int) string {
		id := 1 + 2*rand.IntN(10) + w
		return fmt.Sprintf("BEGIN; UPDATE papers SET id = -id WHERE id = %d; UPDATE papers SET id = -id, seen = seen + 1 WHERE id = -%d; COMMIT", id, id)
	},
	func(w, n int) string {
		id := 10_000_000 + w
		return fmt.Sprintf("BEGIN; DELETE FROM products WHERE id = -%d; UPDATE products SET id = -id, inventory_count = %d WHERE id = %d; COMMIT", id, n, id)
	},
	func(w, n int) string {
		return fmt.Sprintf("INSERT INTO products (id) VALUES (%d) ON CONFLICT (id) DO UPDATE SET inventory_count = %d", 10_000_000+w, n)
	},
	func(w, n int) string {
		if n%50 != 0 {
			return "SELECT 1"
		}
		return "BEGIN; TRUNCATE leaves; INSERT INTO leaves SELECT generate_series(1, 20); COMMIT"
	},
	func(w, n int) string {
		if n%100 != 0 {
			return "SELECT 1"
		}
		return fmt.Sprintf("INSERT INTO leaves SELECT n, %d FROM generate_series(1, 20000) n ON CONFLICT (id) DO UPDATE SET v = excluded.v", n)
	},
	func(w, n int) string {
		return fmt.Sprintf("INSERT INTO leaves VALUES (%d, %d) ON CONFLICT (id) DO UPDATE SET v = excluded.v", -1-w, n)
	},
	func(w, n int) string { return fmt.Sprintf("DELETE FROM leaves WHERE id = %d", -1-w) },
	func(w, n int) string {
		return fmt.Sprintf("BEGIN; UPDATE papers SET seen = seen + 100 WHERE id = %d; ROLLBACK", 1+2*rand.IntN(10)+w)
	},
}

// round is some faults under load, and then quiet, in which the judge looks at everything.
func (s *soak) round() {
	s.Helper()
	for range 1 + s.random.IntN(3) {
		f := soakFaults[s.random.IntN(len(soakFaults))]
		s.Logf("round %d: %s", s.rounds, f.name)
		f.strike(s)
		time.Sleep(time.Duration(s.random.IntN(1500)) * time.Millisecond)
	}
	s.paused.Store(true)
	s.wantEqual(3*patience, soakTables...)
	s.paused.Store(false)
}

// soakFaults are what may go wrong. Whatever a fault stops, it starts again.
var soakFaults = []struct {
	name   string
	strike func(*soak)
}{
	{"none", func(*soak) {}},
	{"kill the poller", func(s *soak) {
		s.kill(s.poller)
		s.launchPoller()
	}},
	{"stop the poller", func(s *soak) {
		s.waitAlive("http://" + s.adminAddr())
		s.stop(s.poller)
		s.launchPoller()
	}},
	{"kill the function", func(s *soak) {
		s.kill(s.fn)
		s.launchFn()
	}},
	{"stop the function for a while", func(s *soak) {
		s.stop(s.fn)
		time.Sleep(time.Duration(s.random.IntN(3000)) * time.Millisecond)
		s.launchFn()
	}},
	{"freeze the function", func(s *soak) {
		_ = s.fn.Signal(syscall.SIGSTOP)
		time.Sleep(time.Duration(s.random.IntN(3000)) * time.Millisecond)
		_ = s.fn.Signal(syscall.SIGCONT)
	}},
	{"freeze the poller", func(s *soak) {
		_ = s.poller.Signal(syscall.SIGSTOP)
		time.Sleep(time.Duration(s.random.IntN(8000)) * time.Millisecond) // longer than wal_sender_timeout, at times
		_ = s.poller.Signal(syscall.SIGCONT)
	}},
	{"restart Postgres", func(s *soak) { s.restart("fast") }},
	{"crash Postgres", func(s *soak) { s.restart("immediate") }},
	{"kill the walsender", func(s *soak) {
		s.text("SELECT count(pg_terminate_backend(active_pid)) FROM pg_replication_slots WHERE active")
	}},
	{"FLUSHALL", func(s *soak) {
		s.forgets(func() { s.redis.FlushAll(context.Background()) })
	}},
	{"kill Redis", func(s *soak) {
		s.forgets(func() {
			s.server.Kill()
			time.Sleep(time.Duration(s.random.IntN(1000)) * time.Millisecond)
			if err := s.server.Start(context.Background()); err != nil {
				s.Fatal(err)
			}
		})
	}},
	{"poller and function at once", func(s *soak) {
		s.kill(s.fn)
		s.kill(s.poller)
		s.launchPoller()
		s.launchFn()
	}},
}
