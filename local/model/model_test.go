package model_test

import (
	"os"
	"testing"
	"time"

	"pgregory.net/rapid"

	"freshet/shared/change"
	"freshet/shared/exchange"
)

// window is the replay window of the model.
const window = time.Minute

const keys = 5

var never = time.Unix(1<<40, 0)

// world is everything outside of a poller's life.
type world struct {
	*rapid.T
	now       time.Time
	log       []transaction
	confirmed change.LSN   // of the slot
	reports   []change.LSN // confirmed before: a crash of Postgres may bring one back
	redis     *redis
	sent      []request // may arrive again, however late
	sessions  int
	versions  int
	floor     map[int]int // the newest version that each key showed since Redis last forgot anything
	exact     time.Time   // a session opened before this must find a sink that the stream alone can heal
}

// pick draws evenly; rapid's own ranges prefer small numbers.
func pick(t *rapid.T, label string, low, high int) int {
	n := 0
	for range 10 {
		n *= 2
		if rapid.Bool().Draw(t, label) {
			n++
		}
	}
	return low + n*(high-low+1)>>10
}

// emit appends to the log.
func (w *world) emit(t transaction) {
	t.commit = change.LSN(100 * (len(w.log) + 1))
	t.end = t.commit + 10
	w.log = append(w.log, t)
}

// rows is what the tables hold after these transactions.
func rows(log []transaction) map[int]value {
	all := map[int]value{}
	for _, t := range log {
		for _, m := range t.writes {
			all[m.key] = m.value
		}
	}
	return all
}

// wrote judges a value on its way into Redis.
func (w *world) wrote(m write) {
	if m.version < w.floor[m.key] {
		w.Fatalf("key %d went back from version %d to %d", m.key, w.floor[m.key], m.version)
	}
	w.floor[m.key] = m.version
}

// forgot begins to judge anew after Redis lost something by itself.
func (w *world) forgot() {
	w.floor = map[int]int{}
	for key, v := range w.redis.keys {
		w.floor[key] = v.version
	}
}

func (w *world) commit() {
	var t transaction
	for range pick(w.T, "writes", 0, 4) {
		w.versions++
		t.writes = append(t.writes, write{pick(w.T, "key", 0, keys-1), value{w.versions, pick(w.T, "delete", 0, 3) == 0}})
	}
	w.emit(t)
}

// confirm reports to Postgres.
func (w *world) confirm(l *life) {
	if lsn := l.seals.Confirmable(w.now); lsn > w.confirmed {
		w.reports = append(w.reports, w.confirmed)
		w.confirmed = lsn
	}
}

// TestModel: whatever crashes, comes late or is forgotten, every key ends at its newest value, and none goes back unless Redis itself did.
// What Redis forgot within the replay window is streamed again, without a refill.
func TestModel(t *testing.T) {
	rounds := 20 // of rapid's 100
	if os.Getenv("FRESHET_SOAK") != "" {
		rounds = 2000
	}
	for range rounds {
		rapid.Check(t, story)
	}
}

// story is one run of everything that can happen.
func story(t *rapid.T) {
	w := &world{T: t, now: time.Unix(1_000_000, 0), confirmed: 50, exact: never, redis: newRedis(), floor: map[int]int{}}
	l := w.begin(pick(t, "lanes", 1, 5))
	l = w.rest(l) // the first refill is over: from here on nothing but the stream heals
	for range pick(t, "steps", 10, 150) {
		l = w.step(l)
	}
	w.finish(l)
}

// step does one thing that can happen, and returns the life that goes on.
func (w *world) step(l *life) *life {
	number := pick(w.T, "lane", 0, len(l.lanes)-1)
	switch what := pick(w.T, "step", 0, 39); {
	case what < 5:
		w.commit()
	case what < 10:
		for range pick(w.T, "messages", 1, 4) {
			l.read()
		}
	case what < 28:
		switch n := &l.lanes[number]; {
		case n.flying != nil:
			if l.arrive(number, pick(w.T, "answered", 0, 9) > 0) {
				return w.restart(l)
			}
		case len(n.queue) > 0 || number == 0:
			l.send(number, pick(w.T, "messages", 1, 3))
		}
	case what < 29: // a request that was held up somewhere
		if len(w.sent) > 0 {
			w.redis.apply(w.sent[pick(w.T, "late", 0, len(w.sent)-1)], w.now, w.wrote)
		}
	case what < 30:
		w.now = w.now.Add(time.Duration(pick(w.T, "seconds", 1, 40)) * time.Second)
	case what < 33:
		w.confirm(l)
	case what < 34:
		return w.restart(l)
	case what < 38:
		w.failover()
	case what < 39:
		if pick(w.T, "flush", 0, 3) == 0 {
			w.flush()
		}
	default: // Postgres crashes, and has not saved its last confirmations
		if n := len(w.reports); n > 0 {
			w.confirmed = w.reports[pick(w.T, "saved", 0, n-1)]
			w.reports = nil
			return w.restart(l)
		}
	}
	return l
}

// failover makes Redis forget its last steps.
func (w *world) failover() {
	if len(w.redis.past) == 0 {
		return
	}
	since := w.redis.lose(pick(w.T, "lost", 1, min(3, len(w.redis.past))))
	if w.redis.state["session"] == "" { // back to an emptied one
		w.exact = time.Time{}
	}
	if until := since.Add(window); until.Before(w.exact) {
		w.exact = until
	}
	w.forgot()
}

// flush is FLUSHALL.
func (w *world) flush() {
	w.redis.remember(w.now)
	clear(w.redis.state)
	clear(w.redis.keys)
	w.exact = time.Time{}
	w.forgot()
}

// restart begins a new life, maybe with another number of lanes.
func (w *world) restart(l *life) *life {
	lanes := len(l.lanes)
	if pick(w.T, "relane", 0, 2) == 0 {
		lanes = pick(w.T, "lanes", 1, 4)
	}
	next := w.begin(lanes)
	exact := w.now.Before(w.exact)
	if exact {
		w.exact = never // else a later failover may bring the damage back
	}
	if next.opened.Found != exchange.FoundCurrent {
		if exact {
			w.Fatalf("found %s although nothing older than the window was lost", next.opened.Found)
		}
		w.forgot()
		for key := range w.floor {
			w.floor[key] = 0
		}
	}
	return next
}

// rest works without faults until there is nothing left to do.
func (w *world) rest(l *life) *life {
	for range 10_000 {
		for l.read() {
		}
		ended := false
		for i := range l.lanes {
			l.send(i, 2)
			ended = ended || l.arrive(i, true)
		}
		switch {
		case ended:
			l = w.restart(l)
		case l.idle():
			return l
		}
	}
	w.Fatal("it never comes to rest")
	return nil
}

// finish compares with the obvious answer.
func (w *world) finish(l *life) {
	w.rest(l)
	for key, want := range rows(w.log) {
		got, there := w.redis.keys[key]
		if there := there && !got.deleted; there == want.deleted || there && got != want {
			w.Fatalf("key %d ends as %v, want %v", key, got, want)
		}
	}
}
