package redisstore_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"freshet/functions/redisstore"
	"freshet/functions/storetest"
	"freshet/local/redistest"
	"freshet/shared/change"
	"freshet/shared/exchange"
)

// between is called before the second half of each transaction, with its commands; it answers those to send.
type between struct {
	do    func([]redis.Cmder) []redis.Cmder
	times atomic.Int32
}

func (b *between) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (b *between) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
func (b *between) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, commands []redis.Cmder) error {
		if commands[0].Name() == "mset" {
			b.times.Add(1)
			if b.do != nil {
				commands = b.do(commands)
			}
		}
		return next(ctx, commands)
	}
}

// transactions is a world in which every batch with a value is written in a transaction, unless it is the first of its lane.
func transactions(t *testing.T, r *redistest.Redis) (*storetest.World, *between) {
	w, b := world(t, r), new(between)
	w.Store.(*redisstore.Store).Transactions()
	w.Store.(*redisstore.Store).AddHook(b)
	return w, b
}

func TestStore_InTransactions(t *testing.T) {
	used := new(between)
	storetest.Run(t, func(t *testing.T) storetest.Backend {
		b := backend(t, redistest.New(t))
		b.Store.(*redisstore.Store).Transactions()
		b.Store.(*redisstore.Store).AddHook(used)
		return b
	})
	if used.times.Load() == 0 {
		t.Error("no batch was written in a transaction: the suite shows nothing")
	}
}

// Whatever happens between the look at the lane and the writes, they are not done unless the batch is still the next one.
func TestStore_ALaneTouchedInBetween(t *testing.T) {
	for name, c := range map[string]struct {
		meanwhile func(*storetest.World, *redistest.Redis)
		want      string // outcome of batch 2 of session s1
		keys      []string
	}{
		"the same batch and the one after it, by a script": {func(w *storetest.World, r *redistest.Redis) {
			w.Applied(w.Batch("s1", 2, "a=2"))
			w.Applied(w.Batch("s1", 3, "a=3"))
		}, "duplicate", []string{"a=3"}},
		"another session": {func(w *storetest.World, r *redistest.Redis) {
			w.Open(w.Ask("s2"))
			w.Applied(w.Batch("s2", 1, "a=of s2"))
		}, exchange.ReasonFenced, []string{"a=of s2"}},
		"another session, whose lanes are fewer": {func(w *storetest.World, r *redistest.Redis) {
			ask := w.Ask("s2")
			ask.Lanes = 1
			w.Open(ask)
		}, exchange.ReasonFenced, []string{"a=1"}},
		"another session that has not begun yet": {func(w *storetest.World, r *redistest.Redis) {
			r.Do("HSET", "freshet:shop:state", "opening", "s2")
			r.Do("DEL", "freshet:shop:lane:0")
		}, exchange.ReasonFenced, []string{"a=1"}},
		"a flush": {func(w *storetest.World, r *redistest.Redis) { w.Flush() }, exchange.ReasonLost, []string{"a"}},
		"a dead letter": {func(w *storetest.World, r *redistest.Redis) {
			other := w.Parking("s1", 1, []string{"a"})
			other.Fence.Lane = 1
			w.Applied(other)
		}, "applied", []string{"a=2"}},
		"a batch of another lane": {func(w *storetest.World, r *redistest.Redis) {
			other := w.Batch("s1", 1, "b=1")
			other.Fence.Lane = 1
			w.Applied(other)
		}, "applied", []string{"a=2", "b=1"}},
		"the eviction of the lane's key": {func(w *storetest.World, r *redistest.Redis) { r.Do("DEL", "freshet:shop:lane:0") }, "applied", []string{"a=2"}},
		"nothing":                        {func(w *storetest.World, r *redistest.Redis) {}, "applied", []string{"a=2"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := redistest.New(t)
			w, b := transactions(t, r)
			scripts := world(t, r)
			w.Open(w.Ask("s1"))
			w.Applied(w.Batch("s1", 1, "a=1"))
			batch := w.Batch("s1", 2, "a=2")
			b.do = func(commands []redis.Cmder) []redis.Cmder {
				c.meanwhile(scripts, r)
				return commands
			}
			if c.want == "applied" {
				w.Applied(batch)
			} else if c.want == "duplicate" {
				w.Duplicate(batch)
			} else {
				w.Refused(batch, c.want)
			}
			w.Keys(c.keys...)
			if b.times.Load() != 1 {
				t.Errorf("%d transactions, want 1", b.times.Load())
			}
			if name == "a dead letter" { // the value is newer than the letter, which must know it
				w.Replay(w.Kept(1)[0], false, "a=old")
				w.Keys("a=2")
			}
		})
	}
}

// Redis goes on with a transaction after a command that fails. What was not written must not count as written.
func TestStore_ATransactionWithoutItsValues(t *testing.T) {
	w, b := transactions(t, redistest.New(t))
	w.Open(w.Ask("s1"))
	w.Applied(w.Batch("s1", 1, "a=1"))
	b.do = func(commands []redis.Cmder) []redis.Cmder { return commands[1:] }
	w.Applied(w.Batch("s1", 2, "a=2"))
	w.Keys("a=2")
	w.Duplicate(w.Batch("s1", 2, "a=2"))
}

func TestStore_ATransactionWhoseScriptIsNotKnown(t *testing.T) {
	r := redistest.New(t, "--loglevel", "warning")
	w, b := transactions(t, r)
	w.Open(w.Ask("s1"))
	w.Applied(w.Batch("s1", 1, "a=1"))
	b.do = func(commands []redis.Cmder) []redis.Cmder {
		r.Do("SCRIPT", "FLUSH")
		return commands
	}
	w.Applied(w.Batch("s1", 2, "a=2"))
	w.Keys("a=2")
}

func TestStore_ATransactionThatIsRefused(t *testing.T) {
	r := redistest.New(t, "--maxmemory-policy", "noeviction")
	w, b := transactions(t, r)
	w.Open(w.Ask("s1"))
	w.Applied(w.Batch("s1", 1, "a=1"))
	b.do = func(commands []redis.Cmder) []redis.Cmder {
		r.Do("CONFIG", "SET", "maxmemory", "1")
		return commands
	}
	_, err := w.Store.Apply(t.Context(), w.Batch("s1", 2, "a=2"))
	wantTrouble(t, err, "out of memory")
	r.Do("CONFIG", "SET", "maxmemory", "0")
	b.do = nil
	w.Keys("a=1")
	w.Applied(w.Batch("s1", 2, "a=2"))
	w.Keys("a=2")
}

// A request that ends half way leaves nothing behind in its connection.
func TestStore_ATransactionThatEndsHalfWay(t *testing.T) {
	w, b := transactions(t, redistest.New(t))
	w.Open(w.Ask("s1"))
	w.Applied(w.Batch("s1", 1, "a=1"))
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	b.do = func(commands []redis.Cmder) []redis.Cmder {
		<-ctx.Done()
		return commands
	}
	if _, err := w.Store.Apply(ctx, w.Batch("s1", 2, "a=2")); err == nil {
		t.Error("a request that has ended was answered")
	}
	b.do = nil
	w.Keys("a=1")
	w.Applied(w.Batch("s1", 2, "a=2"))
	w.Applied(w.Batch("s1", 3, "a=3"))
	w.Keys("a=3")
}

func TestStore_WithoutTheRightToTransactions(t *testing.T) {
	for name, missing := range map[string]string{"none of them": "-@transaction", "no watch": "-watch", "no multi": "-multi", "no exec": "-exec"} {
		t.Run(name, func(t *testing.T) {
			r := redistest.New(t, "--loglevel", "warning")
			w, _ := transactions(t, r)
			w.Open(w.Ask("s1"))
			w.Applied(w.Batch("s1", 1, "a=1"))
			w.Store = user(t, r, "few", "+@all", missing, "allkeys")
			w.Store.(*redisstore.Store).Transactions()
			w.Applied(w.Batch("s1", 2, "a=2"))
			if !w.Store.(*redisstore.Store).ScriptsOnly() {
				t.Error("the next batch will try it again")
			}
			w.Applied(w.Batch("s1", 3, "a=3"))
			w.Keys("a=3")
			findings := w.Store.Check(t.Context(), "shop")
			if len(findings) != 1 || !findings[0].Warning {
				t.Errorf("check: got %v, want a warning", findings)
			}
		})
	}
}

// No key ever goes back, whoever writes a batch, how often, and how late.
func TestStore_NoKeyGoesBack(t *testing.T) {
	const lanes, sessions, batches, copies = 2, 3, 60, 3
	r := redistest.New(t)
	late := func([]redis.Cmder) {
		if rand.IntN(3) == 0 {
			time.Sleep(time.Duration(rand.IntN(4)) * time.Millisecond)
		}
	}
	var stores []*storetest.World
	for range copies {
		w, b := transactions(t, r)
		b.do = func(commands []redis.Cmder) []redis.Cmder { late(commands); return commands }
		stores = append(stores, w)
	}
	stores = append(stores, world(t, r)) // scripts
	watched, stop := context.WithCancel(t.Context())
	var watchers sync.WaitGroup
	for lane := range lanes {
		watchers.Go(func() {
			most := 0
			for watched.Err() == nil {
				text, _ := r.Client().Get(context.Background(), "k"+strconv.Itoa(lane)).Result()
				if n, _ := strconv.Atoi(text); n < most {
					t.Errorf("lane %d: %d after %d", lane, n, most)
					return
				} else {
					most = n
				}
			}
		})
	}
	var stragglers sync.WaitGroup
	value := 0
	for session := range sessions {
		name := "s" + strconv.Itoa(session)
		stores[0].Open(stores[0].Ask(name))
		var group sync.WaitGroup
		for lane := range lanes {
			group.Go(func() {
				for seq := 1; seq <= batches; seq++ {
					b := storetest.Plain("k"+strconv.Itoa(lane)+"="+strconv.Itoa(value+seq), "other")
					b.Fence = &change.Fence{Sink: "shop", Session: name, Lane: lane, Seq: uint64(seq), After: make([]uint64, lanes), Through: change.Position{Commit: change.LSN(100 + seq)}, Seal: 100}
					applied := make(chan bool, len(stores))
					for _, i := range rand.Perm(len(stores)) {
						stragglers.Go(func() {
							_, err := stores[i].Store.Apply(context.Background(), b)
							applied <- err == nil
						})
					}
					if !<-applied && !slices.Contains([]bool{<-applied, <-applied, <-applied}, true) {
						t.Errorf("batch %d was refused by all", seq)
					}
				}
			})
		}
		group.Wait()
		value += batches
	}
	stragglers.Wait()
	stop()
	watchers.Wait()
	for lane := range lanes {
		stores[0].Keys("k" + strconv.Itoa(lane) + "=" + strconv.Itoa(value))
	}
}
