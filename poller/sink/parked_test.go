package sink_test

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"freshet/poller/sink"
	"freshet/shared/change"
)

// addRow puts a message with this action and row into lane 1.
func (s *scene) addRow(a change.Action, record string) {
	q := s.lanes.Queue(1)
	c := q.Begin(s.tracker.Next())
	var tx change.Transaction
	tx.Begin(1, 110, noon)
	b := append(change.AppendOpen(c.Body, a), record...)
	b = append(change.AppendChanges(b), "null"...)
	c.Body = change.NewFrame(change.Table{Schema: "public", Name: "t"}, []string{"id"}).AppendClose(b, &tx, 0)
	q.End(change.Position{Commit: 110})
	s.tracker.Mark(120, time.Time{})
	s.lanes.Flush()
}

// counted is the value of a counter.
func (s *scene) counted(name string) float64 {
	families, err := s.delivery.Metrics.Registry.Gather()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	s.t.Fatalf("no metric %s", name)
	return 0
}

var wide = `{"id":7,"body":"` + strings.Repeat("x", 10_000) + `"}`

// small takes what is small, as a function with FN_MAX_BODY does, and answers the first message of it with what then says.
func small(e *endpoint, then func(m change.Message) (int, string)) {
	e.batch = func(b change.Batch, _ string) (int, string) {
		if len(last(e.seen())) > 5000 {
			return 413, ``
		}
		if len(b.Messages) == 0 {
			return 200, `{}`
		}
		return then(b.Messages[0])
	}
}

func TestDelivery_ARowThatIsTooLargeIsParked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{}
		var got []change.Message
		small(e, func(m change.Message) (int, string) { got = append(got, m); return 200, `{"dead":1}` })
		s := begin(t, sink.Config{ReplayWindow: time.Hour}, e)
		s.addRow(change.Update, wide)
		pass(100 * time.Millisecond)
		if s.tracker.Settled() != 120 || len(got) != 1 {
			t.Fatalf("settled is %d, after %d messages", s.tracker.Settled(), len(got))
		}
		m := got[0]
		if m.Action != change.Delete || m.Record != `{"id":7}` || !strings.Contains(m.Metadata.Parked, "FN_MAX_BODY") || m.Metadata.Table != "t" {
			t.Errorf("got %+v", m)
		}
		whole, reduced := e.seen()[0], e.seen()[1]
		if head := whole[:strings.Index(whole, `"messages"`)]; !strings.HasPrefix(reduced, head) {
			t.Errorf("the reduced batch has another fence: %s", reduced)
		}
		if n := s.counted("freshet_messages_dead_total"); n != 1 {
			t.Errorf("%v dead letters are counted", n)
		}
		s.finish()
	})
}

// A delete needs no more than its key.
func TestDelivery_ADeleteThatIsTooLargeIsCutDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{}
		var got []change.Message
		small(e, func(m change.Message) (int, string) { got = append(got, m); return 200, `{"deleted":1}` })
		s := begin(t, sink.Config{ReplayWindow: time.Hour}, e)
		s.addRow(change.Delete, wide)
		pass(100 * time.Millisecond)
		if len(got) != 1 || got[0].Record != `{"id":7}` || got[0].Metadata.Parked != "" || s.tracker.Settled() != 120 {
			t.Errorf("got %+v", got)
		}
		s.finish()
	})
}

// A function that holds poison is asked whether it takes the whole row by now, ever again.
func TestDelivery_ARowThatIsTooLargeIsHeldWhereTheFunctionSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{}
		var raised atomic.Bool
		e.batch = func(b change.Batch, _ string) (int, string) {
			switch {
			case raised.Load(), len(b.Messages) == 0:
				return 200, `{"written":1}`
			case len(last(e.seen())) > 5000:
				return 413, ``
			}
			return 422, `{"title":"a row could not be sent"}`
		}
		s := begin(t, sink.Config{ReplayWindow: time.Hour}, e)
		s.addRow(change.Insert, wide)
		pass(25 * time.Second)
		var large []bool
		for _, body := range e.seen() {
			large = append(large, len(body) > 5000)
		}
		if want := []bool{true, false, true, false, true, false}; !slices.Equal(large, want) {
			t.Errorf("whole rows among the attempts: %v, want %v", large, want)
		}
		if why, _ := s.waiting.Longest(); s.tracker.Settled() != 100 || why == nil || !strings.Contains(why.What, "could not be sent") {
			t.Errorf("settled is %d, waiting for %v", s.tracker.Settled(), why)
		}
		raised.Store(true)
		pass(10 * time.Second)
		if s.tracker.Settled() != 120 || len(e.seen()[6]) < 5000 {
			t.Errorf("settled is %d", s.tracker.Settled())
		}
		s.finish()
	})
}

func TestDelivery_AnEndpointWithoutAFenceHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{}
		small(e, func(change.Message) (int, string) { t.Error("it was sent something else"); return 200, `` })
		s := begin(t, sink.Config{ReplayWindow: time.Hour}, e)
		synctest.Wait()
		s.delivery.Config.Fence = false
		s.addRow(change.Insert, wide)
		pass(15 * time.Second)
		if n := len(e.seen()); n != 2 || s.tracker.Settled() != 100 {
			t.Errorf("%d attempts, settled is %d", n, s.tracker.Settled())
		}
		s.finish()
	})
}
