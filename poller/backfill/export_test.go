package backfill

import (
	"context"

	"github.com/jackc/pgx/v5/pgconn"

	"freshet/poller/row"
)

// Oldest is the page that waits longest, nil when none does.
func (p *Pages) Oldest() *Page {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.pages) == 0 {
		return nil
	}
	return p.pages[0]
}

// Unread leaves of primary keys, as they stand in the names of keys, those which a comparison that has read the rows has to look up.
func Unread(l *row.Layout, rows []Row, table string, primaryKeys ...string) []string {
	var s seen
	s.add(l, rows)
	return s.without(table, primaryKeys)
}

// LookUp says how many of these keys have a row.
func LookUp(ctx context.Context, conn *pgconn.PgConn, l *row.Layout, texts []string) (found int, err error) {
	k, err := newLookup(ctx, conn, l)
	if err != nil {
		return 0, err
	}
	suspects := make([]*suspect, len(texts))
	for i := range suspects {
		suspects[i] = &suspect{}
	}
	if _, err := k.find(ctx, conn, suspects, texts); err != nil {
		return 0, err
	}
	for _, s := range suspects {
		if s.fate == alive {
			found++
		}
	}
	return found, nil
}

// PrepareSQL is what a runner says first on its connection.
const PrepareSQL = prepareSQL

// NextLimit is how many rows come after a page of so many bytes that was to have limit rows.
func NextLimit(limit, bytes, aim, most int) int {
	return nextLimit(limit, &Page{memory: &memory{size: bytes, ends: make([]end, limit)}}, aim, most)
}

// InBlock is how many places a block has.
const InBlock = inBlock

// Span is what the pages of a file span.
type Span struct{ span }

// NewSpan begins a file.
func NewSpan() *Span { return &Span{span{step: firstBlocks * inBlock}} }

// Next is what the next page spans.
func (s *Span) Next() (from, to int) { return int(s.at), int(s.end()) }

// Read goes on behind it.
func (s *Span) Read(rows, bytes, wantBytes, wantRows int) {
	s.read(rows, bytes, size{bytes: wantBytes, rows: wantRows})
}

// TooLarge says that it was cut off at so much.
func (s *Span) TooLarge(rows, bytes, wantBytes, wantRows int) {
	s.tooLarge(rows, bytes, size{bytes: wantBytes, rows: wantRows})
}
