package backfill

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"sync"

	"freshet/poller/lane"
	"freshet/poller/row"
	"freshet/shared/change"
	"freshet/shared/exchange"
	"freshet/shared/problem"
)

// outcome is what became of one page that was compared. The lanes tell it, each on its own.
type outcome struct {
	mu      sync.Mutex
	tally   exchange.Tally
	wrong   map[int]exchange.Difference // by row of the page
	touched []int
	failed  *problem.Error
}

// watch has a page compared, and then told of.
func (w *verifying) watch(page *Page, told func(*outcome)) {
	o := &outcome{wrong: map[int]exchange.Difference{}}
	page.Compare = &lane.Comparison{Done: o.done}
	page.Touched = func(row int) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.touched = append(o.touched, row)
	}
	w.launch(page, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.failed != nil {
			w.fail(o.failed)
			return
		}
		told(o)
	})
}

// launch counts the page as in flight until it is settled.
func (w *verifying) launch(page *Page, settled func()) {
	w.mu.Lock()
	w.inFlight++
	w.mu.Unlock()
	page.Settled = func() {
		settled()
		w.mu.Lock()
		w.inFlight--
		w.mu.Unlock()
	}
}

func (o *outcome) done(rows []int, result exchange.Comparison, failed *problem.Error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if failed != nil {
		o.failed = failed
		return
	}
	o.tally.Add(result)
	for _, d := range result.Differences {
		if d.Message >= 0 && d.Message < len(rows) {
			o.wrong[rows[d.Message]] = d
		}
	}
}

// compare sends a page of rows through the lanes to be compared. cursor is where the table goes on once it is settled; nil for rows that
// were asked for by their keys. tries is how often they were looked at before.
func (w *verifying) compare(ctx context.Context, r *Runner, t *compared, page *Page, cursor []string, tries int) error {
	page.Action = change.Read
	w.watch(page, func(o *outcome) {
		w.mu.Lock()
		defer w.mu.Unlock()
		t.Match, t.Missing, t.Stale = t.Match+o.tally.Match, t.Missing+o.tally.Missing, t.Stale+o.tally.Stale
		t.Orphan, t.Absent = t.Orphan+o.tally.Orphan, t.Absent+o.tally.Absent
		t.Rows += int64(len(page.Rows) - len(o.touched))
		if w.remembers {
			w.seen.add(page.Layout, page.Rows)
		}
		if cursor != nil {
			t.cursor = cursor
		}
		for i, d := range o.wrong {
			w.found(t, d.Kind, d.Key)
			if w.Repair {
				t.wrong = append(t.wrong, look{key: row.KeyOf(page.Rows[i].Key.Bytes)})
			}
		}
		for _, i := range o.touched {
			if tries+1 >= mostTries {
				t.Unsettled++
				continue
			}
			w.lookLater(r, t, look{key: row.KeyOf(page.Rows[i].Key.Bytes), tries: tries + 1})
		}
	})
	return r.send(ctx, page)
}

func (w *verifying) found(t *compared, kind exchange.DifferenceKind, key string) {
	if w.Found != nil {
		w.Found(t.Table, kind, key)
	}
}

// byKeys reads rows by their keys. Those that are gone are in absent: what the stream brings next deletes their keys.
func byKeys(ctx context.Context, r *Runner, l *row.Layout, looks []look) (page *Page, absent int, err error) {
	var keys []string
	for _, q := range looks {
		keys = append(keys, q.key...)
	}
	s := source{layout: l}
	page, err = s.page(ctx, r, s.queryKeys(len(looks), keys), math.MaxInt, Deal{}, sizes{})
	if err != nil {
		return nil, 0, err
	}
	return page, len(looks) - len(page.Rows), nil
}

// putBack keeps rows for later when their table is locked.
func (w *verifying) putBack(list *[]look, looks []look, err error) error {
	if !errors.Is(err, errLocked) {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	*list = append(*list, looks...)
	return nil
}

// lookAgain compares rows by their keys: those that were touched at the last look, and those that were put right.
func (w *verifying) lookAgain(ctx context.Context, r *Runner, t *compared, l *row.Layout, looks []look) error {
	for len(looks) > 0 {
		same := slices.DeleteFunc(slices.Clone(looks), func(q look) bool { return q.fixed != looks[0].fixed || q.tries != looks[0].tries })
		first := looks[0]
		looks = slices.DeleteFunc(looks, func(q look) bool { return q.fixed == first.fixed && q.tries == first.tries })
		page, absent, err := byKeys(ctx, r, l, same)
		if err != nil {
			return w.putBack(&t.again, append(same, looks...), err)
		}
		if !first.fixed {
			err = w.compare(ctx, r, t, page, nil, first.tries)
		} else {
			err = w.secondLook(ctx, r, t, page, absent)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// secondLook wants what was put right to be right. A row that was touched since has been written by the stream.
func (w *verifying) secondLook(ctx context.Context, r *Runner, t *compared, page *Page, absent int) error {
	page.Action = change.Read
	w.watch(page, func(o *outcome) {
		w.mu.Lock()
		defer w.mu.Unlock()
		t.Repaired += int64(len(page.Rows) - len(o.wrong) + absent)
	})
	return r.send(ctx, page)
}

// rewrite sends rows whose keys differ, as a backfill does.
func (w *verifying) rewrite(ctx context.Context, r *Runner, t *compared, l *row.Layout, looks []look) error {
	if len(looks) == 0 {
		return nil
	}
	page, _, err := byKeys(ctx, r, l, looks)
	if err != nil {
		return w.putBack(&t.wrong, looks, err)
	}
	page.Action = change.Read
	w.launch(page, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, q := range looks {
			t.again = append(t.again, look{key: q.key, fixed: true})
		}
	})
	return r.send(ctx, page)
}

// scanKeys looks for keys without rows, once all rows were compared.
func (w *verifying) scanKeys(ctx context.Context, r *Runner) (over bool, err error) {
	if w.scan == nil {
		w.startScan(ctx, r)
		return false, nil
	}
	piece, ok := w.piece()
	if ok {
		return false, w.takeKeys(ctx, r, piece)
	}
	ended, failed := w.scan.ended()
	if !ended {
		return false, nil
	}
	w.mu.Lock()
	waiting := w.inFlight > 0 || w.listed()
	w.mu.Unlock()
	if waiting {
		return false, nil
	}
	if failed == nil {
		failed = w.scan.remove(ctx, r)
	}
	if failed != nil {
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		w.fail(finding(failed))
		return w.finish(r), nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, t := range w.tables {
		t.Repaired += w.scan.removedOf(name)
	}
	w.over = true
	return w.finish(r), nil
}

func finding(err error) *problem.Error {
	var one *problem.Error
	if errors.As(err, &one) {
		return one
	}
	return &problem.Error{What: "the keys could not be looked at", Why: err.Error()}
}

func (w *verifying) startScan(ctx context.Context, r *Runner) {
	var layouts []*row.Layout
	w.mu.Lock()
	for _, name := range w.order {
		if l := r.Layouts[name]; l != nil && Irreversible(l, r.Plan) == "" {
			layouts = append(layouts, l)
			t := w.tables[name]
			t.Keys, t.Undecided = 0, 0
		}
	}
	w.mu.Unlock()
	w.scan = r.newScan(ctx, layouts)
}

// piece is the next keys, if some have come.
func (w *verifying) piece() (piece exchange.ScanResponse, ok bool) {
	if w.later != nil {
		piece, w.later = *w.later, nil
		return piece, true
	}
	select {
	case piece = <-w.scan.pieces:
		return piece, true
	default:
		return piece, false
	}
}

// takeKeys sorts out keys. Those without a row are looked at in their lanes, since a delete may be on its way to them.
func (w *verifying) takeKeys(ctx context.Context, r *Runner, piece exchange.ScanResponse) error {
	w.mu.Lock()
	for i := range piece.Keys {
		f := &piece.Keys[i]
		if t := w.tables[f.Table]; t != nil {
			all := len(f.PrimaryKeys)
			f.PrimaryKeys = w.seen.without(f.Table, f.PrimaryKeys)
			t.Keys += int64(all - len(f.PrimaryKeys)) // their rows were there
		}
	}
	w.mu.Unlock()
	all, err := w.scan.judge(ctx, r, piece, w.chosen)
	if errors.Is(err, errLocked) {
		w.later = &piece
		return nil
	}
	if err != nil {
		return err
	}
	for _, j := range all {
		t := w.tables[j.table.String()]
		var lost []*suspect
		w.mu.Lock()
		t.Keys += int64(len(j.suspects))
		for _, k := range j.suspects {
			switch k.fate {
			case orphan:
				lost = append(lost, k)
			case alien:
				t.Orphan++
				w.found(t, exchange.Orphan, strings.ToValidUTF8(string(k.key), "\uFFFD"))
				if w.Repair {
					w.scan.discard(t.Table, [][]byte{k.key})
				}
			case unknown:
				t.Undecided++
			}
		}
		w.mu.Unlock()
		for _, page := range orphans(j.layout, j.snapshot, lost) {
			w.watch(page, func(o *outcome) {
				w.mu.Lock()
				defer w.mu.Unlock()
				for i, d := range o.wrong {
					t.Orphan++
					w.found(t, exchange.Orphan, d.Key)
					if w.Repair {
						t.gone = append(t.gone, look{key: row.KeyOf(page.Rows[i].Key.Bytes)})
					}
				}
			})
			if err := r.send(ctx, page); err != nil {
				return err
			}
		}
	}
	return nil
}

// remove deletes keys that have no row still.
func (w *verifying) remove(ctx context.Context, r *Runner, t *compared, l *row.Layout, looks []look) error {
	if len(looks) == 0 {
		return nil
	}
	var suspects []*suspect
	var texts []string
	for _, q := range looks {
		parts := make([]string, len(q.key))
		for i, text := range q.key {
			parts[i], _ = l.KeyPart(i, text)
		}
		suspects, texts = append(suspects, &suspect{}), append(texts, strings.Join(parts, "-"))
	}
	snapshot, err := w.scan.tables[t.Table].lookup.find(ctx, r.Conn, suspects, texts)
	if err != nil {
		return w.putBack(&t.gone, looks, err)
	}
	lost := slices.DeleteFunc(suspects, func(s *suspect) bool { return s.fate != orphan })
	w.mu.Lock()
	t.Repaired += int64(len(looks) - len(lost)) // a row has it by now
	w.mu.Unlock()
	for _, page := range orphans(l, snapshot, lost) {
		rows := int64(len(page.Rows))
		w.launch(page, func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			t.Repaired += rows
		})
		if err := r.send(ctx, page); err != nil {
			return err
		}
	}
	return nil
}
