package backfill

import (
	"context"
	"sync"

	"freshet/poller/row"
	"freshet/shared/change"
	"freshet/shared/exchange"
)

// scannedKeys is how many keys of the whole Redis one request looks at, about.
const scannedKeys = 2000

// scan brings the keys of some tables, piece by piece. A goroutine of its own asks for them, so that the runner never waits for the function.
type scan struct {
	tables map[string]*scanned
	pieces chan exchange.ScanResponse
	stop   context.CancelFunc

	mu      sync.Mutex
	failed  error
	over    bool
	aliens  map[string][][]byte // by table, to be removed
	removed map[string]int64
}

// scanned is one table whose keys are looked at.
type scanned struct {
	layout *row.Layout
	lookup *lookup // made when the first key comes
}

// newScan starts looking at the keys of these tables.
func (r *Runner) newScan(ctx context.Context, layouts []*row.Layout) *scan {
	s := &scan{tables: map[string]*scanned{}, pieces: make(chan exchange.ScanResponse, 1), aliens: map[string][][]byte{}, removed: map[string]int64{}}
	ctx, s.stop = context.WithCancel(ctx)
	ask := exchange.ScanRequest{Sink: r.Sink, Session: r.Session, Count: scannedKeys}
	for _, l := range layouts {
		s.tables[l.Table.String()] = &scanned{layout: l}
		ask.Tables = append(ask.Tables, r.Shapes[l.Table.String()])
	}
	if len(layouts) == 0 {
		s.over = true
		return s
	}
	r.helpers.Go(func() { s.run(ctx, r, ask) })
	return s
}

// run asks until all keys have come, and has those removed that were handed to it.
func (s *scan) run(ctx context.Context, r *Runner, ask exchange.ScanRequest) {
	defer r.wake()
	for {
		piece, err := r.Keys.Scan(ctx, ask)
		if err != nil {
			s.end(err)
			return
		}
		select {
		case s.pieces <- piece:
			r.wake()
		case <-ctx.Done():
			s.end(ctx.Err())
			return
		}
		if err := s.remove(ctx, r); err != nil {
			s.end(err)
			return
		}
		if piece.Cursor == "" {
			s.end(nil)
			return
		}
		ask.Cursor = piece.Cursor
	}
}

func (s *scan) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over, s.failed = true, err
}

// ended says whether no more keys come, and why when that is not because all have come.
func (s *scan) ended() (over bool, failed error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.over && len(s.pieces) == 0, s.failed
}

// discard has keys removed that no row can have.
func (s *scan) discard(table string, keys [][]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.aliens[table] = append(s.aliens[table], keys...)
}

// remove has the function remove what was discarded so far.
func (s *scan) remove(ctx context.Context, r *Runner) error {
	s.mu.Lock()
	aliens := s.aliens
	s.aliens = map[string][][]byte{}
	s.mu.Unlock()
	for table, keys := range aliens {
		for len(keys) > 0 {
			n := min(len(keys), exchange.MostVerified)
			done, err := r.Keys.Sweep(ctx, exchange.SweepRequest{Sink: r.Sink, Session: r.Session, Rules: r.Plan.Rules, Table: r.Shapes[table], Keys: keys[:n]})
			if err != nil {
				return err
			}
			s.mu.Lock()
			s.removed[table] += int64(done.Deleted)
			s.mu.Unlock()
			keys = keys[n:]
		}
	}
	return nil
}

// removedOf is how many discarded keys of a table were removed.
func (s *scan) removedOf(table string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.removed[table]
}

// judged are keys of one table, and what they are.
type judged struct {
	table    change.Table
	layout   *row.Layout
	snapshot Snapshot
	suspects []*suspect
}

// judge decides what the keys of a piece are, but for those that keep leaves out.
func (s *scan) judge(ctx context.Context, r *Runner, piece exchange.ScanResponse, keep func(key []byte) bool) (all []judged, err error) {
	for i := range piece.Keys {
		t := s.tables[piece.Keys[i].Table]
		if t == nil {
			continue
		}
		suspects, texts := suspectsOf(&piece.Keys[i], keep)
		if len(suspects) == 0 {
			continue
		}
		if t.lookup == nil {
			if t.lookup, err = newLookup(ctx, r.Conn, t.layout); err != nil {
				return nil, err
			}
		}
		j := judged{table: t.layout.Table, layout: t.layout, suspects: suspects}
		if j.snapshot, err = t.lookup.all(ctx, r, suspects, texts); err != nil {
			return nil, err
		}
		all = append(all, j)
	}
	return all, nil
}

// suspectsOf are the keys that keep does not leave out, with their parts in the place of the primary key.
func suspectsOf(f *exchange.FoundKeys, keep func(key []byte) bool) (suspects []*suspect, texts []string) {
	add := func(key []byte, text string) {
		if keep(key) {
			suspects, texts = append(suspects, &suspect{key: key}), append(texts, text)
		}
	}
	for _, text := range f.PrimaryKeys {
		add(f.Key(text), text)
	}
	for _, key := range f.Strange {
		add(key, "")
	}
	return suspects, texts
}

// all finds out about many keys, not too many at once.
func (k *lookup) all(ctx context.Context, r *Runner, suspects []*suspect, texts []string) (first Snapshot, err error) {
	const most = 1000
	for i := 0; i < len(suspects); i += most {
		end := min(i+most, len(suspects))
		snapshot, err := k.find(ctx, r.Conn, suspects[i:end], texts[i:end])
		if err != nil {
			return first, err
		}
		if i == 0 {
			first = snapshot // the oldest
		}
	}
	return first, nil
}

// orphans are pages that delete, or look for, the keys of suspects without a row. Those that could be the keys of several rows go by
// themselves.
func orphans(l *row.Layout, snapshot Snapshot, suspects []*suspect) (pages []*Page) {
	var alone, usual *Page
	for _, s := range suspects {
		page := &usual
		if len(s.rows) > 1 {
			page = &alone
		}
		if *page == nil {
			*page = &Page{Layout: l, Action: change.Delete, Snapshot: snapshot, Alone: len(s.rows) > 1}
			pages = append(pages, *page)
		}
		t := l.KeyTuple(s.rows[0])
		r := Row{Record: l.AppendKey(nil, t), Key: l.Key(nil, t)}
		for _, other := range s.rows[1:] {
			r.Also = append(r.Also, l.Key(nil, l.KeyTuple(other)).Bytes)
		}
		(*page).Rows = append((*page).Rows, r)
	}
	return pages
}
