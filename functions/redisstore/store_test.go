package redisstore_test

import (
	"context"
	"testing"

	"freshet/functions/redisstore"
	"freshet/functions/storetest"
	"freshet/local/redistest"
	"freshet/shared/change"
	"freshet/shared/config"
	"freshet/shared/exchange"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Backend { return backend(t, redistest.New(t)) })
}

// A refreshed key keeps the expiry that the application gave it, or takes the rule's.
func TestStore_RefreshAndExpiry(t *testing.T) {
	r := redistest.New(t)
	w := world(t, r)
	w.Open(w.Ask("s1"))
	for i, fenced := range []bool{true, false} {
		r.Do("SET", "keeps", "old", "PX", "5000000")
		r.Do("SET", "stays", "old")
		r.Do("SET", "takes", "old")
		b := storetest.Plain()
		b.Refresh([]byte("keeps"), "new", 0)
		b.Refresh([]byte("stays"), "new", 0)
		b.Refresh([]byte("takes"), "new", 9_000_000)
		if fenced {
			b.Fence = w.Batch("s1", uint64(i+1)).Fence
		}
		w.Applied(b)
		w.Keys("keeps=new", "stays=new", "takes=new")
		for key, about := range map[string]int64{"keeps": 5_000_000, "stays": -1, "takes": 9_000_000} {
			if ms := r.Do("PTTL", key).(int64); ms > about || ms < about-60_000 {
				t.Errorf("fenced %v, %s: %d ms, want about %d", fenced, key, ms, about)
			}
		}
	}
}

// An error of one command is seen behind the answer of a refresh that found nothing.
func TestStore_RefreshHidesNoError(t *testing.T) {
	r := redistest.New(t, "--maxmemory-policy", "noeviction")
	store := newStore(t, r.URL)
	r.Do("CONFIG", "SET", "maxmemory", "1")
	b := storetest.Plain()
	b.Refresh([]byte("nothing"), "new", 0)
	b.Set([]byte("a"), "1", 0)
	_, err := store.Apply(context.Background(), b)
	wantTrouble(t, err, "out of memory")
}

func backend(t testing.TB, r *redistest.Redis) storetest.Backend {
	ctx := context.Background()
	return storetest.Backend{
		Store:  newStore(t, r.URL),
		Get:    r.Get,
		Set:    func(key, value string) { r.Do("SET", key, value) },
		Occupy: func(key string) { r.Do("RPUSH", key, "x") },
		Flush:  func() { r.Client().FlushDB(ctx) },
	}
}

func settings(url string) redisstore.Config {
	return redisstore.Config{RedisURL: config.Secret(url), RedisPort: 6379, RedisTimeout: 5e9}
}

func newStore(t testing.TB, url string) *redisstore.Store {
	t.Helper()
	s, err := redisstore.New(settings(url))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// What an earlier life or another program may have left behind is looked for; in a Redis that has nothing, nothing is.
func TestOpen_LooksForLeftoversOnlyWhereTheyCanBe(t *testing.T) {
	for _, c := range []struct {
		name, key string
		sweep     bool
	}{{"a bare Redis", "", false}, {"but for our own", "freshet:probe", false}, {"somebody was here", "sequin:t:1", true}} {
		t.Run(c.name, func(t *testing.T) {
			r := redistest.New(t)
			if c.key != "" {
				r.Do("SET", c.key, "x")
			}
			ask := exchange.OpenRequest{Session: "s", Source: change.Source{System: "1", Database: "d"}, Lanes: 1, Backfill: true, NewSlot: true,
				Tables: []exchange.TableShape{{Schema: "public", Name: "t", PrimaryKey: []string{"id"}}}}
			opened, err := newStore(t, r.URL).Open(t.Context(), ask, exchange.Plan{})
			if err != nil {
				t.Fatal(err)
			}
			if b := opened.Backfills["public.t"]; b.Sweep != c.sweep || b.State != change.BackfillPending {
				t.Errorf("the table begins as %+v, want sweep %v", b, c.sweep)
			}
		})
	}
}
