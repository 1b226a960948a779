package model_test

import (
	"fmt"
	"slices"
	"time"

	"freshet/poller/ack"
	"freshet/poller/intake"
	"freshet/poller/sink"
	"freshet/shared/change"
	"freshet/shared/exchange"
)

// transaction is what the log holds of one: its writes in order, or a page's mark.
type transaction struct {
	commit, end change.LSN
	writes      []write
	page        string // the session that reads its page here
}

// life is one life of a poller: a session, and all that a crash forgets.
type life struct {
	*world
	session string
	opened  exchange.OpenResponse
	there   *intake.Applied
	tracker *ack.Tracker
	seals   *sink.Seals
	lanes   []lane
	acked   []uint64
	next    int // transaction to be read
	inside  int // writes of it that were read
	notes   map[string]change.Backfill
}

type lane struct {
	seq     uint64
	through change.Position
	queue   []batch
	flying  *request
}

type batch struct {
	writes []write
	last   change.Position
	clear  bool
	note   change.BackfillState
}

// hash is the lane hash of a key.
func hash(key int) uint64 { return uint64(key)*2654435761 + 7 }

func (w *world) begin(lanes int) *life {
	w.sessions++
	l := &life{world: w, session: fmt.Sprint("s", w.sessions), lanes: make([]lane, lanes), acked: make([]uint64, lanes), notes: map[string]change.Backfill{}}
	ask := exchange.OpenRequest{
		Sink: "m", Session: l.session, Source: change.Source{System: "1", Timeline: 1, Database: "d"}, Lanes: lanes, Confirmed: w.confirmed, Backfill: true, Repair: change.Repairs,
		Tables: []exchange.TableShape{{Schema: "public", Name: "t"}},
	}
	var err error
	if l.opened, err = w.redis.open(ask, w.now); err != nil {
		w.Fatalf("open: %v", err)
	}
	l.there = intake.NewApplied(l.opened)
	l.tracker = ack.NewTracker(lanes, w.confirmed, nil)
	l.seals = sink.NewSeals(window, w.confirmed)
	for i := range l.lanes {
		l.lanes[i].through = l.opened.Applied[0].Through[i]
	}
	for l.next < len(w.log) && w.log[l.next].commit < w.confirmed { // what Postgres skips
		l.next++
	}
	switch l.opened.Backfills["public.t"].State {
	case change.BackfillClear:
		l.add(0, batch{clear: true, note: change.BackfillPending})
		w.emit(transaction{page: l.session})
	case change.BackfillPending:
		w.emit(transaction{page: l.session})
	}
	return l
}

// add puts a batch of one message into a lane.
func (l *life) add(number int, b batch) {
	l.tracker.Opened(number, l.tracker.Next())
	l.lanes[number].queue = append(l.lanes[number].queue, b)
}

// read takes in the next message of the stream; more is false when there is none.
func (l *life) read() (more bool) {
	if len(l.lanes[0].queue) > 0 && l.lanes[0].queue[0].clear || l.lanes[0].flying != nil && l.lanes[0].flying.clear {
		return false // a truncate passes alone
	}
	if l.next == len(l.log) {
		return false
	}
	t := l.log[l.next]
	switch {
	case t.page == l.session && l.inside == 0:
		l.page(t)
	case l.inside < len(t.writes):
		at, m := change.Position{Commit: t.commit, Ordinal: uint32(l.inside)}, t.writes[l.inside]
		l.inside++
		if !l.there.Has(hash(m.key), at) {
			l.add(int(hash(m.key)%uint64(len(l.lanes))), batch{writes: []write{m}, last: at})
		}
		return true
	}
	l.tracker.Mark(t.end, time.Time{})
	l.next, l.inside = l.next+1, 0
	return true
}

// page sends every row as it was at the page's mark, and notes that all were sent once that is settled.
func (l *life) page(t transaction) {
	for key, v := range rows(l.log[:l.next]) {
		if !v.deleted {
			at := change.Position{Commit: t.commit, Ordinal: uint32(key)}
			l.add(int(hash(key)%uint64(len(l.lanes))), batch{writes: []write{{key, v}}, last: at})
		}
	}
	l.tracker.Then(func() { l.notes["public.t"] = change.Backfill{State: change.BackfillDone} })
}

// send makes the lane's next request, of its messages or of nothing but the seal.
func (l *life) send(number, messages int) bool {
	n := &l.lanes[number]
	if n.flying != nil {
		return false
	}
	q := request{fence: change.Fence{Session: l.session, Lane: number, Seq: n.seq + 1, Through: n.through, After: slices.Clone(l.acked), Seal: l.tracker.Settled(), Backfills: map[string]change.Backfill{}}}
	messages = min(messages, len(n.queue))
	for i, b := range n.queue[:messages] {
		if b.clear {
			messages = i + 1
		}
	}
	for _, b := range n.queue[:messages] {
		q.writes, q.clear = append(q.writes, b.writes...), q.clear || b.clear
		if b.last.Compare(q.fence.Through) > 0 {
			q.fence.Through = b.last
		}
		if b.note != "" {
			q.fence.Backfills["public.t"] = change.Backfill{State: b.note}
		}
	}
	if number == 0 {
		for table, b := range l.notes {
			q.fence.Backfills[table] = b
		}
		clear(l.notes)
	}
	n.flying = &q
	l.sent = append(l.sent, q)
	return true
}

// arrive delivers the lane's request. ended says that the answer ends the life.
func (l *life) arrive(number int, answered bool) (ended bool) {
	n := &l.lanes[number]
	if n.flying == nil {
		return false
	}
	verdict := l.redis.apply(*n.flying, l.now, l.wrote)
	switch {
	case !answered:
		return false
	case verdict != "applied" && verdict != "duplicate":
		return true
	}
	q := n.flying
	n.flying, n.seq, n.through = nil, q.fence.Seq, q.fence.Through
	l.acked[number]++
	l.seals.Acknowledged(q.fence.Seal, l.now)
	for range l.carried(number, q) {
		l.tracker.Settle(number)
	}
	return false
}

// carried takes the request's messages out of the queue.
func (l *life) carried(number int, q *request) int {
	n := &l.lanes[number]
	carried := len(q.writes)
	if q.clear {
		carried++
	}
	n.queue = n.queue[carried:]
	return carried
}

func (l *life) idle() bool {
	for i := range l.lanes {
		if l.lanes[i].flying != nil || len(l.lanes[i].queue) > 0 {
			return false
		}
	}
	return l.next == len(l.log) && len(l.notes) == 0 && l.tracker.Idle()
}
