package intake

import (
	"context"
	"slices"
	"strings"

	"freshet/poller/backfill"
	"freshet/poller/pgoutput"
	"freshet/shared/change"
)

// mark sends the page whose place in the stream this is.
func (in *Intake) mark(ctx context.Context, m *pgoutput.Message) error {
	if m.Prefix != backfill.Prefix || !in.inside || !strings.HasPrefix(string(m.Content), in.Session+"/") {
		return nil
	}
	p := in.Pages.Find(string(m.Content))
	if p == nil {
		return nil
	}
	if in.Lanes.Full() {
		if err := in.Lanes.WaitRoom(ctx); err != nil {
			return err
		}
	}
	if p.Alone {
		if err := in.Lanes.Drain(ctx); err != nil {
			return err
		}
	}
	in.page(p)
	if p.Alone {
		if err := in.Lanes.Drain(ctx); err != nil {
			return err
		}
	}
	in.Pages.Remove(p)
	in.Tracker.Then(p.Settled)
	return nil
}

// page puts the rows of a page into their lanes, one lane after the other, with the indexes and places that they have in the page's order.
func (in *Intake) page(p *backfill.Page) {
	unseen := in.Recent.Unseen(p.Snapshot, p.But...)
	if len(p.Lots) == in.Lanes.Len() && in.Lanes.Short && in.ordinal == 0 && unseen.Empty() {
		in.lots(p)
		return
	}
	n := in.deal(p, unseen)
	first := in.Tracker.Take(n)
	for number, rows := range in.dealt {
		in.copy(p, number, rows, first)
	}
	in.placed(p, n)
}

// lots hands the lots of a page over to their lanes. A lane that cannot take its lot gets a copy.
func (in *Intake) lots(p *backfill.Page) {
	n := p.Len()
	first := in.Tracker.Take(n)
	for number := range p.Lots {
		if lot := &p.Lots[number]; lot.Len() > 0 && !in.Lanes.Queue(number).Takes(lot) {
			rows := make([]dealt, lot.Len())
			for i := range rows {
				nth := int(lot.Ordinal(i))
				rows[i] = dealt{row: nth, nth: nth}
			}
			in.copy(p, number, rows, first)
			lot.Reset()
		}
	}
	for number := range p.Lots { // only now: from here on the page has no rows any more
		if lot := &p.Lots[number]; lot.Len() > 0 {
			in.Lanes.Queue(number).Hand(first+uint64(lot.Ordinal(0)), lot, p.Action, p.Layout.Frame, &in.tx)
		}
	}
	in.placed(p, n)
}

// placed counts the rows of a page that are in their lanes.
func (in *Intake) placed(p *backfill.Page, n int) {
	in.ordinal += uint32(n)
	if p.Compare == nil {
		in.Metrics.Messages.WithLabelValues(string(p.Action)).Add(float64(n))
	}
}

// copy writes rows of a page into a lane.
func (in *Intake) copy(p *backfill.Page, number int, rows []dealt, first uint64) {
	if len(rows) == 0 {
		return
	}
	list := p.List()
	run := in.Lanes.Queue(number).Run(p.Compare)
	for i, d := range rows {
		at := change.Position{Commit: in.tx.Commit, Ordinal: in.ordinal + uint32(d.nth)}
		c := run.Begin(first+uint64(d.nth), d.row)
		if form := c.Form(p.Action, p.Layout.Frame, &in.tx); i == 0 || form != in.form {
			in.form = form
			p.Layout.Frame.Around(&in.around, form, p.Action, &in.tx)
		}
		if i == 1 { // makes room for all that are like it
			c.Body = slices.Grow(c.Body, in.size(list, rows[1:]))
		}
		c.Body = in.around.Append(c.Body, list[d.row].Record, at.Ordinal)
		run.End(at)
	}
	run.Close()
}

// size is how many bytes some rows of a page become, or as many as a batch may have.
func (in *Intake) size(list []backfill.Row, rows []dealt) (n int) {
	for _, d := range rows {
		n += len(list[d.row].Record)
	}
	return min(n+len(rows)*in.around.Len(), in.Lanes.BatchBytes())
}

// dealt is a row of a page: which it is, and which among those that are sent.
type dealt struct{ row, nth int }

// deal gives each lane its rows of a page, but for those of which the stream has brought something newer.
func (in *Intake) deal(p *backfill.Page, unseen backfill.Unseen) (n int) {
	if len(in.dealt) != in.Lanes.Len() {
		in.dealt = make([][]dealt, in.Lanes.Len())
	}
	for i := range in.dealt {
		in.dealt[i] = in.dealt[i][:0]
	}
	list := p.List()
	for i := range list {
		r := &list[i]
		if !unseen.Empty() && unseen.Holds(p.Layout.Seed(), *r) {
			if p.Touched != nil {
				p.Touched(i)
			}
			continue
		}
		number := in.Lanes.Number(r.Key.Lane)
		in.dealt[number] = append(in.dealt[number], dealt{row: i, nth: n})
		n++
	}
	return n
}
