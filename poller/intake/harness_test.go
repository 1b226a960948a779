package intake_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"freshet/local/pgtest"
	"freshet/poller/ack"
	"freshet/poller/admin"
	"freshet/poller/backfill"
	"freshet/poller/intake"
	"freshet/poller/lane"
	"freshet/poller/pgoutput"
	"freshet/poller/render"
	"freshet/poller/row"
	"freshet/shared/change"
	"freshet/shared/exchange"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// start is where the slots of these tests are confirmed.
const start change.LSN = 0x100

// bench is an intake with everything around it, except that the test plays the server and the sink.
type bench struct {
	t       testing.TB
	in      *intake.Intake
	lanes   *lane.Set
	tracker *ack.Tracker
	pages   *backfill.Pages
	refetch *backfill.Refetch
	ours    map[string]bool

	mu   sync.Mutex
	sent []sent
}

// sent is a message that the sink got.
type sent struct {
	lane int
	change.Message
}

func (s sent) String() string {
	record, changes := s.Record, ""
	if s.Changes != "" {
		changes = " was " + s.Changes
	}
	return fmt.Sprintf("%s %s %s%s", s.Action, s.Metadata.Table, record, changes)
}

const session = "5e55"

// newBench has `lanes` lanes and the tables products and full.
func newBench(t testing.TB, lanes int, opened exchange.OpenResponse) *bench {
	b := &bench{t: t, pages: &backfill.Pages{}, refetch: backfill.NewRefetch(), ours: map[string]bool{"products": true, "full": true}}
	b.tracker = ack.NewTracker(lanes, start, nil)
	b.lanes = lane.NewSet(lane.Limits{Lanes: lanes, BatchMessages: 3, BatchBytes: 4096, BufferBytes: 1 << 20}, b.tracker.Opened)
	b.lanes.Short = true
	b.in = &intake.Intake{
		Session: session, Lanes: b.lanes, Tracker: b.tracker, Pages: b.pages, Refetch: b.refetch,
		Recent: backfill.NewRecent(horizon(t, "1000:1000:")), Layout: b.layout, Metrics: admin.NewMetrics(), Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	b.in.Begin(opened)
	return b
}

func horizon(t testing.TB, text string) backfill.Snapshot {
	s, err := backfill.ParseSnapshot(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// layout has the column id, or those that the relation flags, as the primary key.
func (b *bench) layout(_ context.Context, r *pgoutput.Relation) (*row.Layout, error) {
	if !b.ours[r.Table.Name] {
		return nil, nil
	}
	var names, key []string
	var types []*render.Type
	for _, c := range r.Columns {
		names, types = append(names, c.Name), append(types, render.Builtin(c.Type))
		if c.Key && r.Identity == 'd' {
			key = append(key, c.Name)
		}
	}
	if r.Identity != 'd' {
		key = names[:1]
	}
	l, err := row.New(r.Table, names, types, key, false)
	if err == nil {
		l.From = r.Table.SQL()
	}
	return l, err
}

// feed plays the server.
func (b *bench) feed(messages ...[]byte) {
	b.t.Helper()
	for _, m := range messages {
		if err := b.in.Data(b.t.Context(), m); err != nil {
			b.t.Fatalf("message %q: %v", m, err)
		}
	}
}

// announce feeds the relations in a transaction of their own.
func (b *bench) announce(at change.LSN) {
	b.feed(transaction(at, 1000, products.seen(), full.seen(), foreign.seen())...)
}

// deliver plays the sink, for one lane or all: it settles everything that is ready.
func (b *bench) deliver(lanes ...int) {
	b.t.Helper()
	b.lanes.Flush()
	if len(lanes) == 0 {
		for i := range b.lanes.Len() {
			lanes = append(lanes, i)
		}
	}
	for _, i := range lanes {
		for c := b.lanes.Queue(i).Take(); c != nil; c = b.lanes.Queue(i).Take() {
			b.settle(i, c)
		}
	}
}

func (b *bench) settle(number int, c *lane.Chunk) {
	batch, err := change.ParseBatch([]byte(`{"messages":[` + string(c.Body) + `]}`))
	if err != nil {
		b.t.Errorf("lane %d: %v in %s", number, err, c.Body)
	}
	if len(batch.Messages) != c.Messages() {
		b.t.Errorf("lane %d: %d messages said to be %d", number, len(batch.Messages), c.Messages())
	}
	if last := batch.Messages[len(batch.Messages)-1].Metadata.Position; last != c.Last {
		b.t.Errorf("lane %d: the last position is %s, said to be %s", number, last, c.Last)
	}
	b.mu.Lock()
	for _, m := range batch.Messages {
		b.sent = append(b.sent, sent{lane: number, Message: clone(m)})
	}
	b.mu.Unlock()
	b.tracker.Settle(number)
	b.lanes.Release(c)
}

// clone copies what points into a chunk's memory.
func clone(m change.Message) change.Message {
	m.Record, m.Changes = strings.Clone(m.Record), strings.Clone(m.Changes)
	m.Metadata.Schema, m.Metadata.Table = strings.Clone(m.Metadata.Schema), strings.Clone(m.Metadata.Table)
	m.Metadata.CommitTimestamp = strings.Clone(m.Metadata.CommitTimestamp)
	return m
}

// delivering plays a sink that is never down, until the test ends.
func (b *bench) delivering() {
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for i := range b.lanes.Len() {
		all.Go(func() {
			for {
				for c := b.lanes.Queue(i).Take(); c != nil; c = b.lanes.Queue(i).Take() {
					b.settle(i, c)
				}
				select {
				case <-b.lanes.Queue(i).Ready():
				case <-ctx.Done():
					return
				}
			}
		})
	}
	b.t.Cleanup(func() { cancel(); all.Wait() })
}

// inOrder is what was sent, in the order of the stream.
func (b *bench) inOrder() []sent {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := slices.Clone(b.sent)
	slices.SortStableFunc(all, func(x, y sent) int { return x.Metadata.Position.Compare(y.Metadata.Position) })
	return all
}

// wantSent compares what was sent in the order of the stream, and forgets it. Every key must have been in one lane, in that order.
func (b *bench) wantSent(want ...string) {
	b.t.Helper()
	b.wantLanes()
	var got []string
	for _, s := range b.inOrder() {
		got = append(got, s.String())
	}
	if !slices.Equal(got, want) {
		b.t.Errorf("sent\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
	b.sent = nil
}

// wantLanes checks that positions rise in every lane.
func (b *bench) wantLanes() {
	b.t.Helper()
	last := map[int]change.Position{}
	for _, s := range b.sent {
		if p := last[s.lane]; s.Metadata.Position.Compare(p) <= 0 {
			b.t.Errorf("lane %d has position %s after %s", s.lane, s.Metadata.Position, p)
		}
		last[s.lane] = s.Metadata.Position
	}
}

func (b *bench) wantSettled(want change.LSN) {
	b.t.Helper()
	if got := b.tracker.Settled(); got != want {
		b.t.Errorf("settled is %s, want %s", got, want)
	}
}

// lanesOf are the lanes that messages took.
func lanesOf(all []sent) (lanes []int) {
	for _, s := range all {
		lanes = append(lanes, s.lane)
	}
	return lanes
}

// relationOf decodes a relation.
func relationOf(t testing.TB, r relation) *pgoutput.Relation {
	t.Helper()
	m, err := pgoutput.New().Decode(r.seen())
	if err != nil {
		t.Fatal(err)
	}
	return m.Relation
}
