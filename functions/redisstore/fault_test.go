package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"freshet/functions/effect"
	"freshet/functions/redisstore"
	"freshet/functions/storetest"
	"freshet/local/redistest"
	"freshet/shared/change"
	"freshet/shared/exchange"
	"freshet/shared/problem"
)

// world is the suite's, over a Redis of this test.
func world(t *testing.T, r *redistest.Redis) *storetest.World {
	return &storetest.World{T: t, Backend: backend(t, r), Sink: "shop"}
}

// wantTrouble wants an error that is no refusal, with this in its text, and a fix.
func wantTrouble(t *testing.T, err error, want string) {
	t.Helper()
	var refusal *effect.Refusal
	var trouble *problem.Error
	if errors.As(err, &refusal) || !errors.As(err, &trouble) || !strings.Contains(err.Error(), want) || trouble.Fix == "" {
		t.Errorf("got %v, want trouble with %q and a fix", err, want)
	}
}

func TestStore_NoticesThatAnotherLanesBatchVanished(t *testing.T) {
	r := redistest.New(t)
	w := world(t, r)
	w.Open(w.Ask("s1"))
	w.Applied(w.Batch("s1", 1, "a=1"))
	r.Do("COPY", "freshet:shop:state", "older")
	other := w.Batch("s1", 1, "b=1")
	other.Fence.Lane = 1
	w.Applied(other)
	// A failover to a replica that had not heard of lane 1's batch yet: for lane 0 all looks well.
	r.Do("COPY", "older", "freshet:shop:state", "REPLACE")
	r.Do("DEL", "b")
	w.Refused(w.Batch("s1", 2, "a=2"), exchange.ReasonLost)
	w.Keys("a=1", "b")
}

// Batches that were on their way while Redis forgot one are as many as were forgotten. The next batch's seal counts on what is gone.
func TestStore_NoticesAVanishedBatchBehindOthersOnTheirWay(t *testing.T) {
	r := redistest.New(t)
	w := world(t, r)
	ask := w.Ask("s1")
	w.Open(ask)
	onItsWay := w.Batch("s1", 1, "b=1")
	onItsWay.Fence.Lane = 1
	onItsWay.Fence.Seal = 0
	r.Do("COPY", "freshet:shop:state", "older")
	w.Applied(w.Batch("s1", 1, "a=1"))
	next := w.Batch("s1", 2, "a=2")
	next.Fence.Lane, next.Fence.Seq = 1, 2
	// A failover to a replica that had not heard of lane 0's batch yet.
	r.Do("COPY", "older", "freshet:shop:state", "REPLACE")
	r.Do("DEL", "a")
	w.Applied(onItsWay)
	w.Refused(next, exchange.ReasonLost)
	ask.Session = "s2"
	if sealed := w.Open(ask).Sealed; sealed != 100 {
		t.Errorf("sealed is %s, beyond the batch that is gone", sealed)
	}
}

func TestStore_OutOfMemory(t *testing.T) {
	r := redistest.New(t, "--maxmemory-policy", "noeviction")
	w := world(t, r)
	w.Open(w.Ask("s1"))
	r.Do("SET", "old", "1")
	r.Do("CONFIG", "SET", "maxmemory", "1")
	ctx := context.Background()
	_, err := w.Store.Apply(ctx, w.Batch("s1", 1, "a=1"))
	wantTrouble(t, err, "out of memory")
	_, err = w.Store.Apply(ctx, storetest.Plain("a=1", "old"))
	wantTrouble(t, err, "out of memory")
	_, err = w.Store.Open(ctx, w.Ask("s2"), exchange.Plan{})
	wantTrouble(t, err, "out of memory")
	wantTrouble(t, w.Store.Ready(ctx), "out of memory")
	w.Keys("a")
	if findings := w.Store.Check(ctx, "shop"); !strings.Contains(findings.Error(), "nearly out of memory") {
		t.Errorf("check: got %v", findings)
	}
	r.Do("CONFIG", "SET", "maxmemory", "0")
	w.Applied(w.Batch("s1", 1, "a=1"))
	w.Keys("a=1")
}

func TestStore_Replica(t *testing.T) {
	primary := redistest.New(t)
	host, port, _ := strings.Cut(primary.Addr, ":")
	r := redistest.New(t, "--replicaof", host+" "+port)
	ctx := context.Background()
	store := newStore(t, r.URL)
	wantTrouble(t, waitFor(t, func() error { return store.Ready(ctx) }, "replica"), "replica")
	_, err := store.Apply(ctx, storetest.Plain("a=1"))
	wantTrouble(t, err, "replica")
	findings := store.Check(ctx, "shop")
	if len(findings) != 1 || findings[0].What != "this Redis is a read-only replica" {
		t.Errorf("check: got %v", findings)
	}
}

// waitFor asks again until the error says what is wanted: a replica loads before it answers.
func waitFor(t *testing.T, ask func() error, want string) (err error) {
	t.Helper()
	until(t, func() bool {
		err = ask()
		return err != nil && strings.Contains(err.Error(), want)
	})
	return err
}

// until asks again and again, for ten seconds at most.
func until(t *testing.T, reached func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !reached(); {
		if time.Now().After(deadline) {
			t.Fatal("it never came true")
		}
	}
}

// user makes an ACL user and a store that is this user.
func user(t *testing.T, r *redistest.Redis, name string, rules ...any) *redisstore.Store {
	r.Do(append([]any{"ACL", "SETUSER", name, "on", ">secret"}, rules...)...)
	c := redisstore.Config{RedisTimeout: 5e9, RedisUsername: name, RedisPassword: "secret"}
	c.RedisHost, _, _ = strings.Cut(r.Addr, ":")
	fmt.Sscan(r.Addr[len(c.RedisHost)+1:], &c.RedisPort)
	s, err := redisstore.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// least are the rights that NOPERM's advice names.
var least = []any{"+@read", "+@write", "+@scripting", "+@transaction", "+ping", "~sequin:*", "~freshet:*"}

func TestStore_UsersWithFewRights(t *testing.T) {
	r := redistest.New(t, "--loglevel", "warning")
	ctx := context.Background()

	enough := user(t, r, "enough", least...)
	w := world(t, r)
	w.Store = enough
	w.Open(w.Ask("s1"))
	w.Applied(w.Batch("s1", 1, "sequin:a=1", "sequin:b"))
	if findings := enough.Check(ctx, "shop"); len(findings) > 0 {
		t.Errorf("check by a user who may not ask for INFO: %v", findings)
	}
	// Half of the script's keys are forbidden: it stops between its writes, and the state has not moved.
	_, err := enough.Apply(ctx, w.Batch("s1", 2, "sequin:a=2", "other:b"))
	wantTrouble(t, err, "may not do this")
	w.Applied(w.Batch("s1", 2, "sequin:a=2"))
	w.Keys("sequin:a=2")

	reader := user(t, r, "reader", "+@read", "+@scripting", "+@transaction", "+ping", "allkeys")
	_, err = reader.Apply(ctx, w.Batch("s1", 3, "sequin:a=3"))
	wantTrouble(t, err, "may not do this")
	findings := reader.Check(ctx, "shop")
	if len(findings) != 1 || !strings.Contains(findings[0].Why, "SET freshet:shop:probe") || !strings.Contains(findings[0].Why, "EVAL") {
		t.Errorf("check: got %v", findings)
	}
	noScripts := user(t, r, "noscripts", "+@all", "-@scripting", "allkeys")
	_, err = noScripts.Apply(ctx, w.Batch("s1", 3, "sequin:a=3"))
	wantTrouble(t, err, "may not do this")
	if findings := noScripts.Check(ctx, "shop"); len(findings) != 1 || !strings.Contains(findings[0].Why, "EVAL") {
		t.Errorf("check: got %v", findings)
	}
}

// A right that is missing for the second kind of write lets the script die half way, after the first.
func TestStore_AScriptThatDiesHalfWayIsRepeated(t *testing.T) {
	r := redistest.New(t, "--loglevel", "warning")
	w := world(t, r)
	w.Open(w.Ask("s1"))
	r.Do("SET", "b", "old")
	half := user(t, r, "half", "+@all", "-del", "allkeys")
	_, err := half.Apply(context.Background(), w.Batch("s1", 1, "a=1", "b"))
	wantTrouble(t, err, "may not do this")
	w.Keys("a=1", "b=old")
	w.Applied(w.Batch("s1", 1, "a=1", "b"))
	w.Keys("a=1", "b")
}

func TestStore_Passwords(t *testing.T) {
	ctx := context.Background()
	own := redistest.New(t, "--loglevel", "warning")
	own.Do("ACL", "SETUSER", "default", "resetpass", ">right")
	wantTrouble(t, newStore(t, own.URL).Ready(ctx), "wants a password")
	err := newStore(t, strings.Replace(own.URL, "redis://", "redis://:hunter2@", 1)).Ready(ctx)
	wantTrouble(t, err, "refuses the user or password")
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the error shows the password: %v", err)
	}
}

func TestStore_Unreachable(t *testing.T) {
	ctx := context.Background()
	store := newStore(t, "redis://127.0.0.1:1/0") // New does not connect
	wantTrouble(t, store.Ready(ctx), "cannot reach Redis at 127.0.0.1:1")
	findings := store.Check(ctx, "shop")
	if len(findings) != 1 || !findings.Transient() {
		t.Errorf("check: got %v, want one transient finding", findings)
	}
}

func TestStore_TooSlow(t *testing.T) {
	r := redistest.New(t, "--loglevel", "warning")
	w := world(t, r)
	w.Open(w.Ask("s1"))
	r.Do("CLIENT", "PAUSE", "300", "WRITE")
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_, err := w.Store.Apply(ctx, w.Batch("s1", 1, "a=1"))
	wantTrouble(t, err, "did not answer in time")
	// Whether the late script still ran or not, the next attempt leaves the same.
	if duplicate, err := w.Store.Apply(context.Background(), w.Batch("s1", 1, "a=1")); err != nil {
		t.Errorf("again: %v %v", duplicate, err)
	}
	w.Keys("a=1")
}

func TestStore_ForgottenScriptIsTaughtAgain(t *testing.T) {
	r := redistest.New(t, "--loglevel", "warning")
	w := world(t, r)
	w.Open(w.Ask("s1"))
	w.Applied(w.Batch("s1", 1, "a=1"))
	r.Do("SCRIPT", "FLUSH")
	w.Applied(w.Batch("s1", 2, "a=2"))
}

func TestStore_StateThatIsSomethingElse(t *testing.T) {
	r := redistest.New(t)
	w := world(t, r)
	r.Do("SET", "freshet:shop:state", "x")
	_, err := w.Store.Open(context.Background(), w.Ask("s1"), exchange.Plan{})
	wantTrouble(t, err, "not a hash")
	_, err = w.Store.Apply(context.Background(), w.Batch("s1", 1, "a=1"))
	wantTrouble(t, err, "not a hash")
	w.Keys("a")
}

func TestStore_CheckWarnsOfEviction(t *testing.T) {
	r := redistest.New(t, "--maxmemory-policy", "allkeys-lru")
	findings := newStore(t, r.URL).Check(context.Background(), "shop")
	if len(findings) != 1 || !findings[0].Warning || !strings.Contains(findings[0].Why, "allkeys-lru") {
		t.Errorf("got %v, want a warning", findings)
	}
	if keys := r.Do("DBSIZE"); keys != int64(0) {
		t.Errorf("the check left %v keys", keys)
	}
}

func TestStore_CheckRefusesClusterNodes(t *testing.T) {
	r := redistest.New(t, "--cluster-enabled", "yes", "--loglevel", "warning")
	findings := newStore(t, strings.TrimSuffix(r.URL, "/0")).Check(context.Background(), "shop")
	if !strings.Contains(findings.Error(), "node of a cluster") {
		t.Errorf("got %v", findings)
	}
}

// fill makes n keys of table t and some of another.
func fill(t *testing.T, r *redistest.Redis, n int) {
	t.Helper()
	const make = `for i = 1, tonumber(ARGV[1]) do redis.call('SET', 't*:' .. i, 'x') end redis.call('SET', 't*_old:1', 'x') redis.call('SET', 'tx:1', 'x')`
	r.Do("EVAL", make, 0, n)
}

func TestStore_TruncateOfALargeTable(t *testing.T) {
	r := redistest.New(t)
	w := world(t, r)
	w.Open(w.Ask("s1"))
	fill(t, r, 100_000)
	// The first attempt runs out of time, the next ones go on where keys remain.
	attempts := 0
	for ; attempts < 1000; attempts++ {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
		_, err := w.Store.Apply(ctx, truncateOf(w, "s1", 1))
		cancel()
		if err == nil {
			break
		}
		wantTrouble(t, err, "did not answer in time")
	}
	if attempts == 0 {
		t.Error("100,000 keys took less than 30 ms: the test shows nothing")
	}
	if left := r.Do("DBSIZE"); left != int64(4) { // two of other tables, the state, and its lane
		t.Errorf("left: %v keys, want 4", left)
	}
	w.Keys("t*_old:1=x", "tx:1=x")
	w.Duplicate(truncateOf(w, "s1", 1))
}

func truncateOf(w *storetest.World, session string, seq uint64) *effect.Batch {
	b := w.Batch(session, seq)
	b.Clear("t*:")
	return b
}

// A truncate whose session ends while it runs must not remove what the next session wrote.
func TestStore_TruncateStopsWhenItsSessionEnds(t *testing.T) {
	r := redistest.New(t)
	w := world(t, r)
	w.Open(w.Ask("s1"))
	fill(t, r, 100_000)
	late := truncateOf(w, "s1", 1)
	started := make(chan error)
	go func() {
		_, err := w.Store.Apply(context.Background(), late)
		started <- err
	}()
	until(t, func() bool { return r.Do("DBSIZE").(int64) < 95_000 }) // it has begun
	w.Open(w.Ask("s2"))
	w.Applied(w.Batch("s2", 1, "t*:new=1"))
	var refusal *effect.Refusal
	if err := <-started; !errors.As(err, &refusal) || refusal.Reason != exchange.ReasonFenced {
		t.Fatalf("got %v, want it fenced", err)
	}
	if left := r.Do("DBSIZE").(int64); left < 1000 {
		t.Errorf("it went on: %d keys left", left)
	}
	w.Keys("t*:new=1")
}

// Sessions are opened while another writes as fast as it can. Each new one must know of every batch that the old one was answered for.
func TestStore_TakingOverFromALivePoller(t *testing.T) {
	w := world(t, redistest.New(t))
	w.Open(w.Ask("s0"))
	for round := range 40 {
		old, next := fmt.Sprint("s", round), fmt.Sprint("s", round+1)
		started, last := make(chan bool, 1), make(chan change.LSN)
		go func() { last <- writeUntilFenced(t, w, old, change.LSN(1_000_000*round), started) }()
		<-started
		known := w.Open(w.Ask(next)).Applied[0].Through[0].Commit
		if answered := <-last; answered != known {
			t.Fatalf("round %d: %s was answered, the next session knows %s", round, answered, known)
		}
	}
}

// writeUntilFenced answers the position of the last batch that was applied.
func writeUntilFenced(t *testing.T, w *storetest.World, session string, from change.LSN, started chan<- bool) change.LSN {
	for seq := uint64(1); ; seq++ {
		b := storetest.Plain("a=" + session)
		b.Fence = &change.Fence{Sink: w.Sink, Session: session, Seq: seq, Through: change.Position{Commit: from + change.LSN(seq)}}
		_, err := w.Store.Apply(context.Background(), b)
		var refusal *effect.Refusal
		switch {
		case errors.As(err, &refusal) && refusal.Reason == exchange.ReasonFenced:
			return from + change.LSN(seq) - 1
		case err != nil:
			t.Errorf("batch %d of %s: %v", seq, session, err)
			return 0
		}
		if seq == 3 {
			started <- true
		}
	}
}

func TestStore_Expiry(t *testing.T) {
	r := redistest.New(t)
	w := world(t, r)
	w.Open(w.Ask("s1"))
	for i, fenced := range []bool{true, false} {
		b := new(effect.Batch)
		b.Set([]byte("a"), "1", 90_500)
		b.Set([]byte("b"), "1", 0)
		if fenced {
			b.Fence = w.Batch("s1", uint64(i+1)).Fence
		}
		w.Applied(b)
		if left := r.Do("PTTL", "a").(int64); left <= 80_000 || left > 90_500 {
			t.Errorf("fenced %v: expires in %d ms", fenced, left)
		}
		if left := r.Do("PTTL", "b").(int64); left != -1 {
			t.Errorf("fenced %v: b expires in %d ms", fenced, left)
		}
		r.Do("DEL", "a", "b")
	}
}
