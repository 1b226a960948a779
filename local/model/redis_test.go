package model_test

import (
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"freshet/functions/redisstore"
	"freshet/shared/change"
	"freshet/shared/exchange"
)

// value is a row's version, or the version of its absence.
type value struct {
	version int
	deleted bool
}

type write struct {
	key int
	value
}

// request is a batch on its way. It may arrive more than once, late, or never.
type request struct {
	fence  change.Fence
	writes []write
	clear  bool
}

// moment is all that Redis holds at a time.
type moment struct {
	state map[string]string
	keys  map[int]value
	at    time.Time
}

// redis is the sink: what the function's script does, one step each. Of the past it keeps what a failover may bring back.
type redis struct {
	moment
	past []moment
}

func newRedis() *redis {
	return &redis{moment: moment{state: map[string]string{}, keys: map[int]value{}}}
}

// remember keeps the present before a step changes it.
func (r *redis) remember(now time.Time) {
	r.past = append(r.past, moment{maps.Clone(r.state), maps.Clone(r.keys), now})
}

// lose takes the last steps back. since is when the first of them was made.
func (r *redis) lose(steps int) (since time.Time) {
	back := r.past[len(r.past)-steps]
	r.past = r.past[:len(r.past)-steps]
	r.moment = back
	return back.at
}

// open is POST /v1/sessions.
func (r *redis) open(ask exchange.OpenRequest, now time.Time) (exchange.OpenResponse, error) {
	d, err := redisstore.Decide(r.state, false, ask, exchange.Plan{Rules: "rules"})
	if err != nil {
		return d.Response, err
	}
	r.remember(now)
	maps.Copy(r.state, d.Set)
	for _, name := range d.Delete {
		delete(r.state, name)
	}
	return d.Response, nil
}

// apply is POST /v1/batches, as fence.lua decides it. wrote is told of every value before it is there.
func (r *redis) apply(q request, now time.Time, wrote func(write)) string {
	f := q.fence
	switch {
	case r.state["session"] == "":
		return exchange.ReasonLost
	case r.state["session"] != f.Session:
		return exchange.ReasonFenced
	}
	field := "lane:" + strconv.Itoa(f.Lane)
	seq, through := progress(r.state[field])
	switch {
	case seq >= f.Seq:
		return "duplicate"
	case seq < f.Seq-1 || r.behind(f):
		return exchange.ReasonLost
	}
	r.remember(now)
	if q.clear {
		clear(r.keys)
	}
	for _, w := range q.writes {
		wrote(w)
		r.keys[w.key] = w.value
	}
	if f.Through.Compare(through) > 0 {
		through = f.Through
	}
	r.state[field] = fmt.Sprintf("%d %s", f.Seq, through)
	if sealed, _ := change.ParseLSN(r.state["sealed"]); f.Seal > sealed {
		r.state["sealed"] = f.Seal.String()
	}
	count, _ := strconv.Atoi(r.state["count"])
	r.state["count"] = strconv.Itoa(count + 1)
	for table, b := range f.Backfills {
		r.state["backfill:"+table] = `{"state":"` + string(b.State) + `"}`
	}
	return "applied"
}

// behind says that a batch is not there that the sink had answered for.
func (r *redis) behind(f change.Fence) bool {
	for lane, answered := range f.After {
		if applied, _ := progress(r.state["lane:"+strconv.Itoa(lane)]); applied < answered {
			return true
		}
	}
	return false
}

func progress(field string) (seq uint64, through change.Position) {
	first, second, _ := strings.Cut(field, " ")
	seq, _ = strconv.ParseUint(first, 10, 64)
	through, _ = change.ParsePosition(second)
	return seq, through
}
