package backfill

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/tidwall/gjson"

	"freshet/poller/lane"
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
	// Lots are the same rows where they are to be written by lanes that take them as they are; then Rows is empty, and List makes it.
	Lots []lane.Lot
	// Compare has the rows compared with what Redis has, instead of written: a read's value must be there, a delete's key must not.
	Compare *lane.Comparison
	// Touched is called at the mark for each row that is left out because the stream has brought something newer. May be nil.
	Touched func(row int)
	// Alone keeps all lanes empty while the page passes: its rows have keys that other rows, of other lanes, may have too.
	Alone bool
	// Settled is called when the page's rows are in Redis.
	Settled func()

	memory  *memory  // of the rows; nil when it is not to be used again
	file    int64    // that the table was in, where the statement asks for it
	brief   bool     // nobody looks at the rows any more once they are in the lanes
	last    []string // primary key of the last row
	partial bool     // more rows were read than the page has
	doubt   bool     // a value could not be read as its type
}

// Row is one row, rendered.
type Row struct {
	Record []byte
	Key    row.Key
	// Also are the keys, as Key.Bytes, of other rows that would have the same key in Redis.
	Also [][]byte
}

// source is a table, or some of its rows, to read pages from.
type source struct {
	layout *row.Layout
	only   string // a condition in SQL; empty for all rows
}

// statement reads a page. Either it tells the snapshot that saw the page itself, in a column before the others, or the snapshot is taken just before it.
type statement struct {
	sql   string
	args  []string
	tells bool
	file  bool // asks which file the rows are in; only where it does not tell the snapshot
}

// query reads up to limit rows after the cursor, in the order of the primary key. There is no lower bound for the first page:
// negative and empty keys are rows too. A column that says the same in every row would be a tenth of Postgres' work.
func (s source) query(after []string, limit int) statement {
	sql := "SELECT " + s.from() + s.where(s.only, s.beyond(after)) + " ORDER BY " + columnList(s.layout.PrimaryKey) + " LIMIT " + strconv.Itoa(limit)
	return statement{sql: sql, args: after}
}

// beyond is the condition for the rows after the cursor.
func (s source) beyond(after []string) string {
	if len(after) == 0 {
		return ""
	}
	return "(" + columnList(s.layout.PrimaryKey) + ") > (" + s.placeholders(0) + ")"
}

// queryKeys reads the rows with these n keys, and tells exactly what was seen: whoever asks for rows by their keys waits for transactions to be.
func (s source) queryKeys(n int, keys []string) statement {
	tuples := make([]string, n)
	for i := range tuples {
		tuples[i] = "(" + s.placeholders(i*len(s.layout.PrimaryKey)) + ")"
	}
	sql := "SELECT (SELECT pg_current_snapshot()::text), " + s.from() + s.where("("+columnList(s.layout.PrimaryKey)+") IN ("+strings.Join(tuples, ",")+")")
	return statement{sql: sql, args: keys, tells: true}
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

// rest is the condition for the rows that are still to be read; the zero one for all.
type rest struct {
	sql  string
	args []string
}

// rows is about how many rows there are of the rest, as the planner has it.
func (s source) rows(ctx context.Context, conn *pgconn.PgConn, from rest) (int64, error) {
	sql := "EXPLAIN (FORMAT JSON) SELECT 1 FROM " + s.layout.From + s.where(s.only, from.sql)
	result := conn.ExecParams(ctx, sql, arguments(from.args), nil, nil, nil).Read()
	if result.Err != nil {
		return 0, locked(result.Err, "estimate the rows of", s.layout)
	}
	return gjson.GetBytes(result.Rows[0][0], "0.Plan.Plan Rows").Int(), nil
}

// Estimate is about how many rows of a table meet a condition in SQL. Its error is Postgres' when the condition cannot be used.
func Estimate(ctx context.Context, conn *pgconn.PgConn, l *row.Layout, where string) (int64, error) {
	return source{layout: l, only: where}.rows(ctx, conn, rest{})
}

func arguments(texts []string) [][]byte {
	values := make([][]byte, len(texts))
	for i, text := range texts {
		values[i] = []byte(text)
	}
	return values
}

func (s source) from() string { return columnList(s.layout.Columns) + " FROM " + s.layout.From }

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

// page runs a page's statement and renders its rows, until they have most bytes: rows can be far larger than those before
// them. deal is the zero one unless the page is to be made of lots; expected is as much as is known of its size.
func (s source) page(ctx context.Context, r *Runner, ask statement, most int, deal Deal, expected sizes) (*Page, error) {
	from, err := s.read(ctx, r.Conn, ask)
	if err != nil {
		return nil, err
	}
	p := r.Pages.page(s.layout, deal, expected)
	p.Snapshot = from.snapshot
	tuple := make(pgoutput.Tuple, len(s.layout.Columns))
	for from.rows.NextRow() {
		if p.partial = p.partial || p.bytes() >= most; p.partial {
			continue
		}
		columns := from.rows.Values()
		if ask.tells {
			if p.Len() == 0 {
				if p.Snapshot, err = ParseSnapshot(string(columns[0])); err != nil {
					return nil, errors.Join(err, from.close())
				}
			}
			columns = columns[1:]
		}
		for i := range tuple {
			tuple[i] = pgoutput.Value{Kind: from.kinds[i], Text: columns[i]}
			if columns[i] == nil {
				tuple[i].Kind = pgoutput.Null
			}
		}
		p.Append(tuple)
	}
	err = from.close()
	if p.file = from.file; err != nil {
		r.Pages.recycle(p)
		return nil, locked(err, "read a page of", s.layout)
	}
	if deal.Lanes == 0 {
		p.List()
	}
	if n := p.Len(); n > 0 {
		p.last = row.KeyOf(p.memory.key(n - 1))
	} else if ask.tells {
		p.Snapshot, err = CurrentSnapshot(ctx, r.Conn)
	}
	return p, err
}

// reading is a page on its way from Postgres.
type reading struct {
	rows     *pgconn.ResultReader
	both     *pgconn.MultiResultReader // of the snapshot and the rows; nil when the rows tell it
	snapshot Snapshot
	kinds    []byte // of the columns: some are in binary format
	file     int64  // that the table is in, after close; 0 where that was not asked for
}

func (r *reading) close() error {
	_, err := r.rows.Close()
	if r.both == nil {
		return err
	}
	if err == nil && r.both.NextResult() {
		if rows := r.both.ResultReader().Read().Rows; len(rows) == 1 {
			r.file, _ = strconv.ParseInt(string(rows[0][0]), 10, 64) // 0 when the table is in no file
		}
	}
	return r.both.Close()
}

// read asks for the rows of a page, some columns of them in binary format. A column that has got another type since the
// layout was made is read as text, as the stream brings it.
func (s source) read(ctx context.Context, conn *pgconn.PgConn, ask statement) (reading, error) {
	formats := make([]int16, len(s.layout.Columns))
	for i := range formats {
		if s.layout.Binary(i) != 0 {
			formats[i] = pgx.BinaryFormatCode
		}
	}
	from, err := s.begin(ctx, conn, ask, formats)
	if err != nil || s.fits(from.rows.FieldDescriptions(), formats, ask) {
		return from, err
	}
	if err := from.close(); err != nil {
		return reading{}, locked(err, "read a page of", s.layout)
	}
	clear(formats)
	return s.begin(ctx, conn, ask, formats)
}

// fits says that the columns in binary format have the types of the layout.
func (s source) fits(fields []pgconn.FieldDescription, formats []int16, ask statement) bool {
	if ask.tells && len(fields) > 0 {
		fields = fields[1:]
	}
	for i, field := range fields {
		if formats[i] == pgx.BinaryFormatCode && field.DataTypeOID != s.layout.Binary(i) {
			return false
		}
	}
	return true
}

// begin sends a page's statement. Where it does not tell the snapshot, that is taken by another one before it, in the same round trip. What the page saw is then somewhat more
// than the snapshot did, never less, and on the safe side: a row is left out of the page when a transaction that the snapshot did not see
// has touched it and the stream has brought that; and whatever the page saw, the stream brings before the page's mark.
func (s source) begin(ctx context.Context, conn *pgconn.PgConn, ask statement, formats []int16) (from reading, err error) {
	from.kinds = bytes.Repeat([]byte{pgoutput.Text}, len(formats))
	for i, format := range formats {
		if format == pgx.BinaryFormatCode {
			from.kinds[i] = pgoutput.Binary
		}
	}
	if ask.tells {
		from.rows = conn.ExecParams(ctx, ask.sql, arguments(ask.args), nil, nil, append([]int16{pgx.TextFormatCode}, formats...))
		return from, nil
	}
	batch := &pgconn.Batch{}
	batch.ExecParams(snapshotSQL, nil, nil, nil, nil)
	batch.ExecParams(ask.sql, arguments(ask.args), nil, nil, formats)
	if ask.file {
		batch.ExecParams(nodeSQL, s.name(), nil, nil, nil)
	}
	from.both = conn.ExecBatch(ctx, batch) // one transaction: the lock on the table is kept until its end
	var text string
	if from.both.NextResult() {
		if rows := from.both.ResultReader().Read().Rows; len(rows) == 1 {
			text = string(rows[0][0])
		}
	}
	if !from.both.NextResult() {
		return from, locked(from.both.Close(), "read a page of", s.layout)
	}
	from.rows = from.both.ResultReader()
	if from.snapshot, err = ParseSnapshot(text); err != nil {
		err = errors.Join(err, from.close())
	}
	return from, err
}

// lockNotAvailable is how Postgres says that lock_timeout has passed.
const lockNotAvailable = "55P03"

// errLocked says that the table is locked, and that its rows can be read later.
var errLocked = errors.New("the table is locked")

// locked is errLocked where that is what Postgres says, and else the error with what was attempted.
func locked(err error, doing string, l *row.Layout) error {
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == lockNotAvailable {
		return errLocked
	}
	return fmt.Errorf("%s %s: %w", doing, l.Table, err)
}

// Prefix of the logical messages that mark a page's place in the stream.
const Prefix = "freshet"

// Pages are the pages on their way to their marks. Safe for concurrent use.
type Pages struct {
	mu    sync.Mutex
	pages []*Page // in the order of their snapshots
	free  []*memory
}

// What is kept to be used again, and how large at the most: a page of huge rows must not keep its room for ever.
const (
	mostFree = 2
	mostKept = 8 << 20
)

func (p *Pages) memory() *memory {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.free); n > 0 {
		m := p.free[n-1]
		p.free = p.free[:n-1]
		return m
	}
	return new(memory)
}

// recycle takes back the memory of a page's rows, which nobody may look at any more.
func (p *Pages) recycle(page *Page) {
	m := page.memory
	page.memory, page.Rows, page.Lots = nil, nil, nil
	if m == nil || m.held() > mostKept {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	m.reset()
	if len(p.free) < mostFree {
		p.free = append(p.free, m)
	}
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
	if at := slices.Index(p.pages, page); at >= 0 {
		p.pages = slices.Delete(p.pages, at, at+1)
	}
	p.mu.Unlock()
	if page.brief {
		p.recycle(page)
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
