package ack_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"freshet/poller/ack"
	"freshet/shared/change"
)

func wantSettled(t *testing.T, tr *ack.Tracker, want change.LSN) {
	t.Helper()
	if got := tr.Settled(); got != want {
		t.Errorf("settled is %d, want %d", got, want)
	}
}

// send puts one message into a new batch of the lane.
func send(tr *ack.Tracker, lane int) { tr.Opened(lane, tr.Next()) }

func TestTracker_WaitsForTheSlowOne(t *testing.T) {
	tr := ack.NewTracker(2, 100, nil)
	send(tr, 0)
	tr.Mark(110, time.Time{})
	send(tr, 1)
	tr.Mark(120, time.Time{})
	tr.Settle(1)
	wantSettled(t, tr, 100) // 110 is still in flight
	tr.Settle(0)
	wantSettled(t, tr, 120)
}

func TestTracker_QuietStreamAdvances(t *testing.T) {
	tr := ack.NewTracker(1, 100, nil)
	tr.Mark(150, time.Time{})
	wantSettled(t, tr, 150)
}

func TestTracker_KeepaliveWaitsForTheBatchBeforeIt(t *testing.T) {
	tr := ack.NewTracker(1, 100, nil)
	send(tr, 0)
	tr.Mark(110, time.Time{})
	tr.Mark(200, time.Time{}) // a keepalive
	wantSettled(t, tr, 100)
	tr.Settle(0)
	wantSettled(t, tr, 200)
}

func TestTracker_TransactionOverSeveralLanes(t *testing.T) {
	tr := ack.NewTracker(3, 100, nil)
	for lane := range 3 {
		send(tr, lane)
	}
	tr.Mark(110, time.Time{})
	tr.Settle(2)
	tr.Settle(0)
	wantSettled(t, tr, 100)
	tr.Settle(1)
	wantSettled(t, tr, 110)
}

func TestTracker_BatchThatSpansTransactions(t *testing.T) {
	tr := ack.NewTracker(2, 100, nil)
	send(tr, 0)
	tr.Mark(110, time.Time{})
	tr.Next() // a second message in the same batch of lane 0
	tr.Mark(120, time.Time{})
	send(tr, 1)
	tr.Mark(130, time.Time{})
	tr.Settle(0)
	wantSettled(t, tr, 120)
	tr.Settle(1)
	wantSettled(t, tr, 130)
}

func TestTracker_HoldKeepsTheRestWaiting(t *testing.T) {
	tr := ack.NewTracker(1, 100, nil)
	first, second := tr.Hold(), tr.Hold()
	tr.Mark(110, time.Time{})
	tr.Release(second)
	wantSettled(t, tr, 100)
	tr.Release(first)
	wantSettled(t, tr, 110)
}

// A row whose key was removed shows nothing old, but it must still be read again after a crash.
func TestTracker_BlankedIsAppliedButNotSettled(t *testing.T) {
	tr := ack.NewTracker(1, 100, nil)
	first, second := tr.Hold(), tr.Hold()
	tr.Mark(110, time.Time{})
	tr.Blank(second)
	wantApplied(t, tr, 100)
	tr.Blank(first)
	wantApplied(t, tr, 110)
	tr.Mark(120, time.Time{}) // a keepalive: one mark with the other
	wantApplied(t, tr, 120)
	send(tr, 0)
	tr.Mark(130, time.Time{})
	wantApplied(t, tr, 120)
	tr.Settle(0)
	wantApplied(t, tr, 130)
	wantSettled(t, tr, 100)
	tr.Release(first)
	wantSettled(t, tr, 100)
	tr.Release(second)
	wantSettled(t, tr, 130)
}

func wantApplied(t *testing.T, tr *ack.Tracker, want change.LSN) {
	t.Helper()
	if got := tr.Applied(); got != want {
		t.Errorf("applied is %d, want %d", got, want)
	}
}

func TestTracker_ThenIsCalledOnceInOrder(t *testing.T) {
	tr := ack.NewTracker(1, 100, nil)
	var calls []string
	send(tr, 0)
	tr.Then(func() { calls = append(calls, "page one") })
	tr.Mark(110, time.Time{})
	tr.Then(func() { calls = append(calls, "page two"); wantSettled(t, tr, 110) })
	tr.Settle(0)
	if len(calls) != 2 || calls[0] != "page one" || calls[1] != "page two" {
		t.Errorf("calls are %q", calls)
	}
}

func TestTracker_NeverGoesBack(t *testing.T) {
	tr := ack.NewTracker(1, 100, nil)
	tr.Mark(90, time.Time{})
	wantSettled(t, tr, 100)
}

func TestTracker_TellsTheOldestCommitThatWaits(t *testing.T) {
	tr := ack.NewTracker(1, 100, nil)
	early, late := time.Unix(1000, 0), time.Unix(2000, 0)
	send(tr, 0)
	tr.Mark(110, early)
	tr.Mark(120, late) // no message between: one mark, as old as the older
	if got := tr.Waiting(); !got.Equal(early) {
		t.Errorf("waiting since %s, want %s", got, early)
	}
	tr.Settle(0)
	if got := tr.Waiting(); !got.IsZero() {
		t.Errorf("waiting since %s although all is settled", got)
	}
}

// TestTracker_Model compares with the obvious answer: the last mark before which no message is unsettled.
func TestTracker_Model(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const lanes = 3
		reported := change.LSN(0)
		var tr *ack.Tracker
		tr = ack.NewTracker(lanes, 0, func() {
			now := tr.Settled() + tr.Applied()
			if now <= reported {
				t.Fatalf("reported %d after %d", now, reported)
			}
			reported = now
		})
		type batch struct{ first, last uint64 }
		var inFlight [lanes][]batch
		type mark struct {
			before uint64
			lsn    change.LSN
		}
		var marks []mark
		var next uint64
		type hold struct {
			*ack.Hold
			index             uint64
			blanked, released bool
		}
		var holds []*hold
		var settled, applied change.LSN
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 6).Draw(t, "step") {
			case 0, 1: // a batch of some messages
				lane, n := rapid.IntRange(0, lanes-1).Draw(t, "lane"), rapid.IntRange(1, 4).Draw(t, "messages")
				first := tr.Next()
				tr.Opened(lane, first)
				for range n - 1 {
					tr.Next()
				}
				inFlight[lane] = append(inFlight[lane], batch{first, first + uint64(n) - 1})
				next += uint64(n)
			case 2:
				lsn := change.LSN(len(marks)+1) * 10
				marks = append(marks, mark{next, lsn})
				tr.Mark(lsn, time.Time{})
			case 3:
				lane := rapid.IntRange(0, lanes-1).Draw(t, "lane")
				if len(inFlight[lane]) > 0 {
					inFlight[lane] = inFlight[lane][1:]
					tr.Settle(lane)
				}
			case 4:
				holds = append(holds, &hold{Hold: tr.Hold(), index: next})
				next++
			case 5, 6:
				if len(holds) == 0 {
					break
				}
				h := rapid.SampledFrom(holds).Draw(t, "hold")
				if rapid.Bool().Draw(t, "blank") {
					h.blanked = true
					tr.Blank(h.Hold)
				} else if !h.released {
					h.released = true
					tr.Release(h.Hold)
				}
			}
			reach := func(over func(*hold) bool) (lsn change.LSN) {
				for _, m := range marks {
					for _, queue := range inFlight {
						for _, b := range queue {
							if b.first < m.before {
								return lsn
							}
						}
					}
					for _, h := range holds {
						if h.index < m.before && !over(h) {
							return lsn
						}
					}
					lsn = m.lsn
				}
				return lsn
			}
			settled = max(settled, reach(func(h *hold) bool { return h.released }))
			applied = max(applied, reach(func(h *hold) bool { return h.released || h.blanked }))
			if tr.Settled() != settled || tr.Applied() != applied {
				t.Fatalf("settled is %d and applied %d, want %d and %d", tr.Settled(), tr.Applied(), settled, applied)
			}
		}
	})
}

func BenchmarkTracker_SmallTransactions(b *testing.B) {
	tr := ack.NewTracker(8, 0, nil)
	lsn := change.LSN(0)
	b.ReportAllocs()
	for b.Loop() {
		lane := rand.IntN(8)
		send(tr, lane)
		lsn += 100
		tr.Mark(lsn, time.Time{})
		tr.Settle(lane)
	}
}

func TestTracker_TakesSeveral(t *testing.T) {
	tr := ack.NewTracker(2, 100, nil)
	if first := tr.Take(3); first != 0 {
		t.Errorf("the first of three is %d, want 0", first)
	}
	tr.Opened(1, 2) // whichever lane comes first
	tr.Opened(0, 0)
	if tr.Take(0); tr.Next() != 3 {
		t.Error("the one after them is not number 3")
	}
	tr.Opened(0, 3)
	tr.Mark(110, time.Time{})
	tr.Settle(1)
	tr.Settle(0)
	wantSettled(t, tr, 100)
	tr.Settle(0)
	wantSettled(t, tr, 110)
}
