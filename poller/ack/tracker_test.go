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
		tr := ack.NewTracker(lanes, 0, func(lsn change.LSN) {
			if lsn <= reported {
				t.Fatalf("reported %d after %d", lsn, reported)
			}
			reported = lsn
		})
		type batch struct{ first, last uint64 }
		var inFlight [lanes][]batch
		type mark struct {
			before uint64
			lsn    change.LSN
		}
		var marks []mark
		var next uint64
		want := change.LSN(0)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "step") {
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
			}
			for _, m := range marks {
				clear := true
				for _, queue := range inFlight {
					for _, b := range queue {
						clear = clear && b.first >= m.before
					}
				}
				if clear {
					want = max(want, m.lsn)
				} else {
					break
				}
			}
			if got := tr.Settled(); got != want {
				t.Fatalf("settled is %d, want %d", got, want)
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
