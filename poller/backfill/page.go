package backfill

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5/pgconn"

	"freshet/poller/pgoutput"
	"freshet/poller/row"
	"freshet/shared/change"
)

// Page is some rows of one table as one snapshot saw them, on their way to their mark in the stream.
type Page struct {
	ID       string
	Layout   *row.Layout
	Action   change.Action // read; update for rows that complete updates; delete for keys that are removed until they can be completed
	Snapshot Snapshot
	// But names transactions whose touch does not keep a row out of the page although the snapshot does not see them.
	But  []uint32
	Rows []Row
	// Settled is called when the page's rows are in Redis.
	Settled func()

	records []byte
	keys    []byte
	last    []string // primary key of the last row
	partial bool     // more rows were read than the page has
	doubt   bool     // a value could not be read as its type
}

// Row is one row, rendered.
type Row struct {
	Record []byte
	Key    row.Key
}

// source is a table to read pages from.
type source struct{ layout *row.Layout }

// query reads up to limit rows after the cursor, in the order of the primary key. There is no lower bound for the first page:
// negative and empty keys are rows too.
func (s source) query(after []string, limit int) string {
	key := columnList(s.layout.PrimaryKey)
	beyond := ""
	if len(after) > 0 {
		beyond = "(" + key + ") > (" + s.placeholders(0) + ")"
	}
	return s.selectList() + s.where(beyond) + " ORDER BY " + key + " LIMIT " + strconv.Itoa(limit)
}

// queryKeys reads the rows with these n keys.
func (s source) queryKeys(n int) string {
	tuples := make([]string, n)
	for i := range tuples {
		tuples[i] = "(" + s.placeholders(i*len(s.layout.PrimaryKey)) + ")"
	}
	return s.selectList() + s.where("("+columnList(s.layout.PrimaryKey)+") IN ("+strings.Join(tuples, ",")+")")
}

// where joins conditions with the table's own: what the stream leaves out, pages leave out too.
func (s source) where(conditions ...string) string {
	text := ""
	for _, c := range append(conditions, s.layout.Where) {
		switch {
		case c == "":
			continue
		case text == "":
			text = " WHERE "
		default:
			text += " AND "
		}
		text += "(" + c + "\n)" // a comment at the end of a condition must not swallow what follows
	}
	return text
}

func (s source) selectList() string {
	return "SELECT (SELECT pg_current_snapshot()::text), " + columnList(s.layout.Columns) + " FROM " + s.layout.From
}

func (s source) placeholders(before int) string {
	parts := make([]string, len(s.layout.PrimaryKey))
	for i := range parts {
		parts[i] = "$" + strconv.Itoa(before+i+1)
	}
	return strings.Join(parts, ",")
}

func columnList(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = change.QuoteIdentifier(n)
	}
	return strings.Join(quoted, ",")
}

// read runs a page's query and renders its rows, until they have most bytes: rows can be far larger than those before
// them. A page without rows has no snapshot.
func (s source) read(ctx context.Context, conn *pgconn.PgConn, sql string, args []string, most int) (*Page, error) {
	values := make([][]byte, len(args))
	for i, a := range args {
		values[i] = []byte(a)
	}
	result := conn.ExecParams(ctx, sql, values, nil, nil, nil)
	p := &Page{Layout: s.layout}
	tuple := make(pgoutput.Tuple, len(s.layout.Columns))
	var ends []int
	var lanes []uint64
	var keyEnds []int
	var scratch []byte
	for result.NextRow() {
		if p.partial = p.partial || len(p.records) >= most; p.partial {
			continue
		}
		columns := result.Values()
		if len(ends) == 0 {
			var err error
			if p.Snapshot, err = ParseSnapshot(string(columns[0])); err != nil {
				result.Close()
				return nil, err
			}
		}
		for i := range tuple {
			tuple[i] = pgoutput.Value{Kind: pgoutput.Text, Text: columns[i+1]}
			if columns[i+1] == nil {
				tuple[i].Kind = pgoutput.Null
			}
		}
		var unparsed int
		p.records, unparsed = s.layout.Append(p.records, tuple)
		p.doubt = p.doubt || unparsed > 0 && !s.layout.Fixed
		key := s.layout.Key(scratch, tuple)
		scratch = key.Bytes
		p.keys = append(p.keys, key.Bytes...)
		ends, keyEnds, lanes = append(ends, len(p.records)), append(keyEnds, len(p.keys)), append(lanes, key.Lane)
		p.last = s.layout.KeyTexts(tuple)
	}
	if _, err := result.Close(); err != nil {
		var refused *pgconn.PgError
		if errors.As(err, &refused) && refused.Code == "55P03" { // lock_not_available
			return nil, errLocked
		}
		return nil, fmt.Errorf("read a page of %s: %w", s.layout.Table, err)
	}
	p.cut(ends, keyEnds, lanes)
	return p, nil
}

// errLocked says that the table is locked, and that its rows can be read later.
var errLocked = errors.New("the table is locked")

// cut makes rows of the buffers, which do not move any more.
func (p *Page) cut(ends, keyEnds []int, lanes []uint64) {
	p.Rows = make([]Row, len(ends))
	record, key := 0, 0
	for i := range p.Rows {
		p.Rows[i] = Row{Record: p.records[record:ends[i]], Key: row.Key{Lane: lanes[i], Bytes: p.keys[key:keyEnds[i]]}}
		record, key = ends[i], keyEnds[i]
	}
}

// Prefix of the logical messages that mark a page's place in the stream.
const Prefix = "freshet"

// Pages are the pages on their way to their marks. Safe for concurrent use.
type Pages struct {
	mu    sync.Mutex
	pages []*Page // in the order of their snapshots
}

// Add puts a page where the stream will look for it. Pages are added in the order of their snapshots.
func (p *Pages) Add(page *Page) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pages = append(p.pages, page)
}

// Find returns the page of this mark, nil for the mark of another life.
func (p *Pages) Find(id string) *Page {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, page := range p.pages {
		if page.ID == id {
			return page
		}
	}
	return nil
}

// Remove forgets a page that has been sent.
func (p *Pages) Remove(page *Page) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.pages {
		if p.pages[i] == page {
			p.pages = append(p.pages[:i], p.pages[i+1:]...)
			return
		}
	}
}

// oldest is the snapshot of the page that waits longest.
func (p *Pages) oldest() (Snapshot, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.pages) == 0 {
		return Snapshot{}, false
	}
	return p.pages[0].Snapshot, true
}
