package sink_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"freshet/poller/ack"
	"freshet/poller/admin"
	"freshet/poller/lane"
	"freshet/poller/sink"
	"freshet/shared/change"
	"freshet/shared/exchange"
)

// endpoint answers batches in the process itself, so that time can be faked.
type endpoint struct {
	mu     sync.Mutex
	bodies []string
	batch  func(b change.Batch, attempt string) (status int, body string)
}

func (e *endpoint) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	b, err := change.ParseBatch(bytes.Clone(body))
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	e.bodies = append(e.bodies, string(body))
	e.mu.Unlock()
	status, text := e.batch(b, r.Header.Get(exchange.HeaderAttempt))
	if status == 0 {
		return nil, errors.New("connection refused")
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(text)), Request: r}, nil
}

// seen are the bodies so far.
func (e *endpoint) seen() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.bodies)
}

func last(bodies []string) string { return bodies[len(bodies)-1] }

// scene is one delivery with two lanes.
type scene struct {
	t        *testing.T
	lanes    *lane.Set
	tracker  *ack.Tracker
	session  *sink.Session
	delivery *sink.Delivery
	waiting  *sink.Waiting
	stop     context.CancelFunc
	ended    chan error
}

func begin(t *testing.T, c sink.Config, e *endpoint) *scene {
	c.FunctionURL, c.Sink, c.Fence = "http://function", "freshet", true
	c.Timeout, c.RetryMax, c.HoldPause = 30*time.Second, 5*time.Second, 10*time.Second
	if c.Heartbeat == 0 {
		c.Heartbeat = time.Hour
	}
	s := &scene{t: t, waiting: &sink.Waiting{}, ended: make(chan error, 1)}
	nudge := make(chan struct{}, 1)
	s.tracker = ack.NewTracker(2, 100, func() {
		select {
		case nudge <- struct{}{}:
		default:
		}
	})
	s.lanes = lane.NewSet(lane.Limits{Lanes: 2, BatchMessages: 5000, BatchBytes: 1 << 21, BufferBytes: 1 << 22}, s.tracker.Opened)
	opener := sink.NewClient(c, 2, opening{})
	var err error
	s.session, err = sink.Open(t.Context(), c, opener, exchange.OpenRequest{Sink: "freshet", Session: "s1", Lanes: 2, Confirmed: 100}, true, s.waiting, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s.delivery = &sink.Delivery{
		Config: c, Client: sink.NewClient(c, 2, e), Session: s.session, Lanes: s.lanes, Tracker: s.tracker, Waiting: s.waiting,
		Metrics: admin.NewMetrics(), Log: slog.New(slog.DiscardHandler), Nudge: nudge,
	}
	ctx, stop := context.WithCancel(t.Context())
	s.stop = stop
	go func() { s.ended <- s.delivery.Run(ctx) }()
	return s
}

// opening answers the session request.
type opening struct{}

func (opening) RoundTrip(r *http.Request) (*http.Response, error) {
	text, err := json.Marshal(exchange.OpenResponse{Session: "s1", Found: exchange.FoundCurrent, Sealed: 100})
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(text)), Request: r}, err
}

func (s *scene) add(number int, commit change.LSN) {
	q := s.lanes.Queue(number)
	c := q.Begin(s.tracker.Next())
	at := change.Position{Commit: commit}
	var tx change.Transaction
	tx.Begin(1, commit, noon)
	frame := change.NewFrame(change.Table{Schema: "public", Name: "t"}, []string{"id"})
	b := append(change.AppendOpen(c.Body, change.Insert), `{"id":1}`...)
	b = append(change.AppendChanges(b), "null"...)
	c.Body = frame.AppendClose(b, &tx, 0)
	q.End(at)
}

func (s *scene) finish() error {
	s.stop()
	return <-s.ended
}

// pass lets fake time pass, and everything that is due in it happen.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func settled(change.Batch, string) (int, string) { return 200, `{}` }

func TestDelivery_SettledIsSealedAndThenConfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{batch: settled}
		s := begin(t, sink.Config{}, e)
		s.add(1, 110)
		s.tracker.Mark(120, time.Time{})
		if got := s.session.Confirmable(time.Now()); got != 100 {
			t.Errorf("confirmable is %d before anything was delivered", got)
		}
		s.lanes.Flush()
		pass(10 * time.Millisecond)
		if got := s.session.Confirmable(time.Now()); got != 120 {
			t.Errorf("confirmable is %d, want 120", got)
		}
		seal, err := change.ParseBatch([]byte(last(e.seen())))
		if err != nil || seal.Fence.Seal != 120 || len(seal.Messages) != 0 || seal.Fence.Lane != 0 || !slices.Equal(seal.Fence.After, []uint64{0, 1}) {
			t.Errorf("the seal travelled as %s (%v)", last(e.seen()), err)
		}
		if err := s.finish(); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

func TestDelivery_RepeatsTheSameBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failures := 0
		e := &endpoint{}
		e.batch = func(_ change.Batch, attempt string) (int, string) {
			failures++
			switch failures {
			case 1:
				return 0, "" // no connection
			case 2:
				return 503, `{"title":"Redis is loading"}`
			case 3:
				return 429, ``
			}
			if attempt != "4" {
				t.Errorf("attempt is %s", attempt)
			}
			return 200, `{}`
		}
		s := begin(t, sink.Config{ReplayWindow: time.Hour}, e)
		s.add(0, 110)
		s.lanes.Flush()
		pass(time.Minute)
		if len(e.seen()) != 4 {
			t.Fatalf("%d attempts", len(e.seen()))
		}
		for _, b := range e.seen() {
			if b != e.seen()[0] {
				t.Errorf("an attempt differs:\n%s\n%s", e.seen()[0], b)
			}
		}
		s.finish()
	})
}

func TestDelivery_HeldLaneSaysWhyAndNeverSkips(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var allowed atomic.Bool
		e := &endpoint{}
		e.batch = func(change.Batch, string) (int, string) {
			if !allowed.Load() {
				return 403, `{"title":"no rights"}`
			}
			return 200, `{}`
		}
		s := begin(t, sink.Config{}, e)
		s.add(1, 110)
		s.tracker.Mark(120, time.Time{})
		s.lanes.Flush()
		pass(time.Hour)
		why, _ := s.waiting.Longest()
		if why == nil || !strings.Contains(why.What, "403: no rights") || why.Transient {
			t.Errorf("waiting for %v", why)
		}
		if s.tracker.Settled() != 100 {
			t.Error("a refused batch counts as settled")
		}
		if n := len(e.seen()); n < 100 || n > 400 {
			t.Errorf("%d attempts in an hour", n)
		}
		allowed.Store(true)
		pass(time.Minute)
		if why, _ := s.waiting.Longest(); why != nil || s.tracker.Settled() != 120 {
			t.Errorf("still waiting for %v, settled is %d", why, s.tracker.Settled())
		}
		s.finish()
	})
}

func TestDelivery_ConflictsEndTheSession(t *testing.T) {
	for reason, want := range map[string]error{"lost": sink.ErrLost, "fenced": sink.ErrFenced} {
		t.Run(reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := &endpoint{batch: func(change.Batch, string) (int, string) { return 409, `{"title":"no","reason":"` + reason + `"}` }}
				s := begin(t, sink.Config{}, e)
				s.add(0, 110)
				s.lanes.Flush()
				if err := <-s.ended; !errors.Is(err, want) {
					t.Errorf("ended with %v", err)
				}
			})
		})
	}
}

func TestDelivery_TooLargeIsHalved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sizes []int
		var seqs []uint64
		e := &endpoint{}
		e.batch = func(b change.Batch, _ string) (int, string) {
			if len(b.Messages) > 2 {
				return 413, ``
			}
			sizes, seqs = append(sizes, len(b.Messages)), append(seqs, b.Fence.Seq)
			return 200, `{}`
		}
		s := begin(t, sink.Config{ReplayWindow: time.Hour}, e)
		for i := range 7 {
			s.add(1, change.LSN(110+i))
		}
		s.tracker.Mark(200, time.Time{})
		s.lanes.Flush()
		pass(100 * time.Millisecond)
		total := 0
		for i, n := range sizes {
			total += n
			if seqs[i] != uint64(i+1) {
				t.Errorf("sequence is %v", seqs)
			}
		}
		if total != 7 || s.tracker.Settled() != 200 {
			t.Errorf("delivered %v, settled is %d", sizes, s.tracker.Settled())
		}
		s.finish()
	})
}

// A lane has one request in flight: the longer an answer takes by distance alone, the more the next batch carries.
func TestDelivery_BatchesGrowWithTheDistance(t *testing.T) {
	for _, c := range []struct {
		away      time.Duration
		near, far int // messages of the first batch, and of the later ones
	}{{time.Millisecond, 1200, 1200}, {14 * time.Millisecond, 1200, 2400}, {100 * time.Millisecond, 1200, 5000}} {
		synctest.Test(t, func(t *testing.T) {
			var sizes []int
			e := &endpoint{}
			e.batch = func(b change.Batch, _ string) (int, string) {
				time.Sleep(c.away)
				if len(b.Messages) > 0 {
					sizes = append(sizes, len(b.Messages))
				}
				return 200, `{}`
			}
			s := begin(t, sink.Config{ReplayWindow: time.Hour}, e)
			for range 2 {
				for i := range 12_000 {
					s.add(1, change.LSN(110+i))
				}
				s.lanes.Flush()
				pass(time.Minute)
			}
			if slices.Max(sizes[:10]) != c.near || slices.Max(sizes[10:]) != c.far {
				t.Errorf("%s away: batches had %d messages, want %d and then up to %d", c.away, sizes, c.near, c.far)
			}
			_ = s.finish() // with the error of a context that was cancelled
		})
	}
}

func TestDelivery_HeartbeatOnAnIdleDatabase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{batch: settled}
		s := begin(t, sink.Config{Heartbeat: 10 * time.Second, ReplayWindow: time.Minute}, e)
		pass(65 * time.Second)
		if n := len(e.seen()); n != 6 {
			t.Errorf("%d heartbeats in 65 s", n)
		}
		s.finish()
	})
}

func TestDelivery_NotesTravelInOrderWithLaneZero(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen []string
		e := &endpoint{}
		e.batch = func(b change.Batch, _ string) (int, string) {
			for table, state := range b.Fence.Backfills {
				if b.Fence.Lane != 0 {
					t.Errorf("a note travelled in lane %d", b.Fence.Lane)
				}
				seen = append(seen, table+" "+string(state.State))
			}
			return 200, `{}`
		}
		s := begin(t, sink.Config{ReplayWindow: time.Hour}, e)
		for _, state := range []change.BackfillState{change.BackfillRunning, change.BackfillDone} {
			s.session.Note(change.Table{Schema: "public", Name: "t"}, change.Backfill{State: state}, nil)
			s.delivery.Nudge <- struct{}{}
			pass(10 * time.Millisecond)
		}
		if got := strings.Join(seen, ", "); got != "public.t running, public.t done" {
			t.Errorf("seen %s", got)
		}
		s.finish()
	})
}
