// Package intake puts the decoded stream into lanes: it knows what each row's change means for the keys that the row has, and had.
package intake

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"freshet/poller/ack"
	"freshet/poller/admin"
	"freshet/poller/backfill"
	"freshet/poller/lane"
	"freshet/poller/pgoutput"
	"freshet/poller/row"
	"freshet/shared/change"
	"freshet/shared/exchange"
)

// Intake belongs to the goroutine that receives. It has no clock and starts nothing.
type Intake struct {
	Session string
	Lanes   *lane.Set
	Tracker *ack.Tracker
	Pages   *backfill.Pages
	Recent  *backfill.Recent
	Refetch *backfill.Refetch
	// Layout tells how a relation of the stream is to be written; nil for a table that is not ours.
	Layout  func(ctx context.Context, r *pgoutput.Relation) (*row.Layout, error)
	Metrics *admin.Metrics
	Log     *slog.Logger

	decoder *pgoutput.Decoder
	tables  map[*pgoutput.Relation]*table
	last    *table // of the previous row: mostly the next row's too
	lastOf  *pgoutput.Relation
	there   *Applied

	inside   bool // a transaction is open
	tx       change.Transaction
	at       time.Time // of its commit
	ordinal  uint32
	scratch  [2][]byte
	merged   pgoutput.Tuple
	around   change.Around // the rows of a page
	form     change.Form   // that they have in it
	dealt    [][]dealt     // the same, by lane
	lastData atomic.Int64  // when a transaction last began or ended, in Unix nanoseconds
}

// table is a relation of this connection. A nil layout means that it is not ours.
type table struct {
	layout  *row.Layout
	actions map[change.Action]counter
	// unparsed counts rows that had a value which could not be read as its type. At 1, 2, 4, 8, ... of them the types are looked at
	// again: Postgres announces nothing when a composite type is altered.
	unparsed int
}

type counter interface{ Inc() }

// Begin prepares for a new connection of a session.
func (in *Intake) Begin(opened exchange.OpenResponse) {
	in.decoder = pgoutput.New()
	in.tables = map[*pgoutput.Relation]*table{}
	in.there = NewApplied(opened)
	in.heard()
}

func (in *Intake) heard() { in.lastData.Store(time.Now().UnixNano()) }

// QuietFor says how long no transaction has begun or ended.
func (in *Intake) QuietFor(now time.Time) time.Duration {
	return now.Sub(time.Unix(0, in.lastData.Load()))
}

// Lag is how far the stream is behind: how much later than its commit the newest transaction was sent, both by the server's clock.
func (in *Intake) Lag(sent time.Time) time.Duration {
	if in.at.IsZero() {
		return 0
	}
	return max(0, sent.Sub(in.at))
}

// Keepalive takes note that the server has sent all there was below lsn. It queues up behind the messages it followed, and says nothing in the middle of a
// transaction.
func (in *Intake) Keepalive(lsn change.LSN) {
	if !in.inside {
		in.Tracker.Mark(lsn, time.Time{})
	}
}

// Data takes in one pgoutput message.
func (in *Intake) Data(ctx context.Context, data []byte) error {
	m, err := in.decoder.Decode(data)
	if err != nil {
		return err
	}
	switch m.Kind {
	case pgoutput.Begin:
		in.inside, in.ordinal, in.at = true, 0, m.Time
		in.heard()
		in.tx.Begin(m.XID, m.LSN, m.Time)
		in.Recent.Begin(m.XID, m.LSN)
	case pgoutput.Commit:
		in.inside = false
		in.heard()
		in.Tracker.Mark(m.EndLSN, in.at)
	case pgoutput.RelationSeen:
		return in.relation(ctx, m.Relation)
	case pgoutput.Insert, pgoutput.Update, pgoutput.Delete:
		return in.row(ctx, m)
	case pgoutput.Truncate:
		return in.truncate(ctx, m.Relations)
	case pgoutput.LogicalMessage:
		return in.mark(ctx, m)
	case pgoutput.Ignored:
		in.Metrics.Ignored.WithLabelValues(string(rune(m.Letter))).Inc()
	}
	return nil
}

func (in *Intake) relation(ctx context.Context, r *pgoutput.Relation) error {
	if t, known := in.tables[r]; known && (t.layout == nil || t.layout.Fixed && r.Identity == 'd') {
		return nil // Postgres announces a table again for many reasons; the decoder saw that it is the same
	}
	layout, err := in.Layout(ctx, r)
	if err != nil {
		return err
	}
	in.tables[r] = in.newTable(layout)
	in.lastOf, in.last = nil, nil
	return nil
}

func (in *Intake) newTable(l *row.Layout) *table {
	t := &table{layout: l, actions: map[change.Action]counter{}}
	for _, a := range []change.Action{change.Insert, change.Update, change.Delete, change.Read, change.Truncate} {
		t.actions[a] = in.Metrics.Messages.WithLabelValues(string(a))
	}
	return t
}

func (in *Intake) tableOf(r *pgoutput.Relation) *table {
	if in.lastOf != r {
		in.lastOf, in.last = r, in.tables[r]
	}
	return in.last
}

func (in *Intake) row(ctx context.Context, m *pgoutput.Message) error {
	t := in.tableOf(m.Relation)
	if t == nil || t.layout == nil {
		in.ordinal += places(m.Kind)
		return nil
	}
	if in.Lanes.Full() {
		if err := in.Lanes.WaitRoom(ctx); err != nil {
			return err
		}
	}
	switch m.Kind {
	case pgoutput.Insert:
		row, whole := in.complete(m)
		if !whole || t.layout.Partial { // a row filter of the publication made it of an update, or a column list left out columns
			return in.refetch(t, row)
		}
		return in.write(ctx, t, m.Relation, change.Insert, row, nil)
	case pgoutput.Update:
		return in.update(ctx, t, m)
	case pgoutput.Delete:
		if m.OldKind == 0 {
			return fmt.Errorf("a delete of table %s came without the old key", t.layout.Table)
		}
		in.remove(t, m.Old, m.OldKind)
	}
	return nil
}

// places is how many ordinals a row's message takes: an update has one for the delete of its old key, needed or not. Every message has its
// places whether its table is ours or not, so that positions are the same when the settings have changed before the stream comes again.
func places(k pgoutput.Kind) uint32 {
	if k == pgoutput.Update {
		return 2
	}
	return 1
}

func (in *Intake) update(ctx context.Context, t *table, m *pgoutput.Message) error {
	row, whole := in.complete(m)
	if m.OldKind != 0 && !t.layout.SameKey(m.Old, row) {
		in.remove(t, m.Old, m.OldKind)
	} else {
		in.ordinal++
	}
	if !whole || t.layout.Partial {
		return in.refetch(t, row)
	}
	var before pgoutput.Tuple
	if m.OldKind == 'O' {
		before = m.Old
	}
	return in.write(ctx, t, m.Relation, change.Update, row, before)
}

// complete fills in unchanged TOAST values from the old row, as far as that was sent. What is null in it was left out: a value that was TOASTed
// is never null, and a key tuple has nothing but the identity's columns.
func (in *Intake) complete(m *pgoutput.Message) (row pgoutput.Tuple, whole bool) {
	row, whole = m.New, true
	filled := false
	for i := range m.New {
		if m.New[i].Kind != pgoutput.Unchanged {
			continue
		}
		if m.OldKind == 0 || m.Old[i].Kind != pgoutput.Text {
			whole = false
			continue
		}
		if !filled {
			in.merged = append(in.merged[:0], m.New...)
			row, filled = in.merged, true
		}
		row[i] = m.Old[i]
	}
	return row, whole
}

// refetch has the row read again as a whole. Until it is settled, nothing from here on is confirmed, and if the
// session ends before, the update is sent again by Postgres and asked for again, whatever the lane's position says.
func (in *Intake) refetch(t *table, r pgoutput.Tuple) error {
	if !t.layout.HasKey(r) {
		return fmt.Errorf("a row of table %s came without its key, which is too long to be stored in place; give the table REPLICA IDENTITY FULL, or install the newest minor release of Postgres", t.layout.Table)
	}
	key := t.layout.Key(in.scratch[0], r)
	in.scratch[0] = key.Bytes
	in.ordinal++
	in.Recent.Touch(key.Bytes)
	if in.there != nil && in.there.settled(in.tx.Commit) {
		in.Metrics.Skipped.Inc()
		return nil
	}
	hold := in.Tracker.Hold()
	in.Metrics.Refetched.Inc()
	in.Refetch.Add(backfill.Request{Layout: t.layout, Key: t.layout.KeyTexts(r), XID: in.tx.ID,
		Blanked: func() { in.Tracker.Blank(hold) }, Settled: func() { in.Tracker.Release(hold) }})
	return nil
}

func (in *Intake) write(ctx context.Context, t *table, of *pgoutput.Relation, a change.Action, r, before pgoutput.Tuple) error {
	at, key, there := in.place(t, r)
	if there {
		return nil
	}
	q := in.Lanes.Of(key.Lane)
	c := q.Begin(in.Tracker.Next())
	form := c.Form(a, t.layout.Frame, &in.tx)
	b, unparsed := t.layout.Append(form.AppendOpen(c.Body, a), r)
	if unparsed > 0 {
		if err := in.doubt(ctx, t, of); err != nil {
			q.Cancel()
			return err
		}
	}
	if before != nil {
		b = t.layout.AppendChanges(change.AppendChanges(b), before, r)
	} else {
		b = form.NoChanges(b)
	}
	c.Body = form.AppendClose(b, t.layout.Frame, &in.tx, at.Ordinal)
	q.End(at)
	t.actions[a].Inc()
	if unparsed > 0 {
		in.Metrics.Unparsed.WithLabelValues(t.layout.Table.String()).Add(float64(unparsed))
	}
	return nil
}

// doubt asks for the layout again when a value could not be read as its type, and fails when the types have been altered since. A value
// that stays unreadable travels as its text; it is asked for ever more rarely.
func (in *Intake) doubt(ctx context.Context, t *table, of *pgoutput.Relation) error {
	t.unparsed++
	if t.layout.Fixed || t.unparsed&(t.unparsed-1) != 0 {
		return nil
	}
	_, err := in.Layout(ctx, of)
	return err
}

func (in *Intake) remove(t *table, old pgoutput.Tuple, kind byte) {
	at, key, there := in.place(t, old)
	if there {
		return
	}
	q := in.Lanes.Of(key.Lane)
	c := q.Begin(in.Tracker.Next())
	form := c.Form(change.Delete, t.layout.Frame, &in.tx)
	b := form.AppendOpen(c.Body, change.Delete)
	if kind == 'O' {
		b, _ = t.layout.Append(b, old)
	} else {
		b = t.layout.AppendKey(b, old)
	}
	c.Body = form.AppendClose(form.NoChanges(b), t.layout.Frame, &in.tx, at.Ordinal)
	q.End(at)
	t.actions[change.Delete].Inc()
}

// place gives the message its position, remembers that its key was touched, and says whether the sink has it already.
func (in *Intake) place(t *table, r pgoutput.Tuple) (change.Position, row.Key, bool) {
	at := change.Position{Commit: in.tx.Commit, Ordinal: in.ordinal}
	in.ordinal++
	key := t.layout.Key(in.scratch[0], r)
	in.scratch[0] = key.Bytes
	in.Recent.Touch(key.Bytes)
	if in.there == nil {
		return at, key, false
	}
	if in.there.over(at) {
		in.there = nil
		return at, key, false
	}
	if in.there.Has(key.Lane, at) {
		in.Metrics.Skipped.Inc()
		return at, key, true
	}
	return at, key, false
}

// truncate empties tables: it waits for all lanes, passes alone in lane 0, and is waited for, so that it is ordered with every key.
func (in *Intake) truncate(ctx context.Context, relations []*pgoutput.Relation) error {
	for _, r := range relations {
		t := in.tableOf(r)
		at := change.Position{Commit: in.tx.Commit, Ordinal: in.ordinal}
		in.ordinal++
		if t == nil || t.layout == nil {
			continue
		}
		in.Recent.Truncate(t.layout.Seed())
		if in.there != nil && in.there.Has(0, at) {
			in.Metrics.Skipped.Inc()
			continue
		}
		if err := in.alone(ctx, t, at, nil); err != nil {
			return err
		}
	}
	return nil
}

// Clear removes a table's keys before its rows are read again, and stores the backfill's state with it.
func (in *Intake) Clear(ctx context.Context, l *row.Layout, next change.Backfill) error {
	in.tx.Begin(0, 0, time.Now())
	return in.alone(ctx, in.newTable(l), change.Position{}, map[string]change.Backfill{l.Table.String(): next})
}

func (in *Intake) alone(ctx context.Context, t *table, at change.Position, notes map[string]change.Backfill) error {
	if err := in.Lanes.Drain(ctx); err != nil {
		return err
	}
	q := in.Lanes.Queue(0)
	c := q.Begin(in.Tracker.Next())
	c.Alone, c.Backfills = true, notes
	form := c.Form(change.Truncate, t.layout.Frame, &in.tx)
	b := append(form.AppendOpen(c.Body, change.Truncate), "null"...)
	c.Body = form.AppendClose(form.NoChanges(b), t.layout.Frame, &in.tx, at.Ordinal)
	q.End(at)
	t.actions[change.Truncate].Inc()
	return in.Lanes.Drain(ctx)
}
