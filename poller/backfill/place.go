package backfill

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"

	"freshet/shared/change"
)

// byPlace reads rows in the order in which they lie in the table's file, some blocks at a time. It takes Postgres less than any index does, and far less where
// the order of the index is not that of the file: then nearly every row is in another block.
//
// A row stays at its place until something is written: an update may put its new version into a block that was read before. That is in the stream, as all is
// that was written since the table was published; whatever was not written lies where it lay, and comes with its block. Only what writes a table's file anew
// (VACUUM FULL, CLUSTER, ALTER TABLE) moves rows without a word. The table is in another file then, and is read from its beginning.
// https://www.postgresql.org/docs/current/ddl-system-columns.html#DDL-SYSTEM-COLUMNS-CTID
type byPlace struct {
	source
	file     tableFile
	span     span
	expected sizes // of the next page
}

// tableFile is where a table's rows are. https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-ADMIN-DBLOCATION
type tableFile struct {
	node   int64
	blocks int64 // when it was looked at: what has come since is in the stream
}

// place is where a row is in a file: its block, and its number in the block.
type place int64

// inBlock is how many places a block has: more than rows find room in it, whatever its size.
const inBlock = 1 << 11

// The first page spans firstBlocks, and no page more than mostBlocks: an empty part of a table is no reason to read all that follows it at once.
const (
	firstBlocks = 2
	mostBlocks  = 2048
)

func (p place) String() string { return fmt.Sprintf("(%d,%d)", p/inBlock, p%inBlock) }

// nodeSQL asks for the number of a table's file, and findSQL for its size too, if it is a file that rows stay in.
const (
	nodeSQL = "SELECT pg_relation_filenode($1::regclass)"
	findSQL = `SELECT pg_relation_filenode(c.oid), pg_relation_size(c.oid) / current_setting('block_size')::bigint
		FROM pg_class c JOIN pg_am a ON a.oid = c.relam WHERE c.oid = $1::regclass AND c.relkind = 'r' AND a.amname = 'heap'`
)

// name is what $1 is in these.
func (s source) name() [][]byte { return [][]byte{[]byte(s.layout.Table.SQL())} }

// find looks for the table's file. The rows of a partitioned table are in many, and those of other access methods do not stay where they are.
func (s source) find(ctx context.Context, conn *pgconn.PgConn) (file tableFile, found bool, err error) {
	result := conn.ExecParams(ctx, findSQL, s.name(), nil, nil, nil).Read()
	if result.Err != nil {
		return file, false, locked(result.Err, "look for the file of", s.layout)
	}
	if len(result.Rows) != 1 {
		return file, false, nil
	}
	file.node, err = strconv.ParseInt(string(result.Rows[0][0]), 10, 64)
	if err == nil {
		file.blocks, err = strconv.ParseInt(string(result.Rows[0][1]), 10, 64)
	}
	if err != nil {
		return file, false, fmt.Errorf("look for the file of %s: %w", s.layout.Table, err)
	}
	return file, true, nil
}

// newByPlace begins where another life has come to, if that was in the same file.
func newByPlace(s source, file tableFile, reached *change.Place) *byPlace {
	p := &byPlace{source: s, file: file, span: span{step: firstBlocks * inBlock}}
	if reached != nil && reached.File == file.node {
		p.span.at = place(reached.Block)*inBlock + place(reached.Row)
	}
	return p
}

// errMoved says that the table is in another file by now.
var errMoved = errors.New("the table was written anew")

func (p *byPlace) next(ctx context.Context, r *Runner, want size) (page *Page, last bool, err error) {
	end := p.span.end()
	sql := "SELECT " + p.from() + p.where(fmt.Sprintf("ctid >= '%s' AND ctid < '%s'", p.span.at, end))
	page, err = p.page(ctx, r, statement{sql: sql, file: true}, 2*want.bytes, want.deal, p.expected)
	switch {
	case err != nil:
		return nil, false, err
	case page.file != p.file.node:
		r.Pages.recycle(page)
		return nil, false, errMoved
	case page.partial: // nobody knows where its last row is
		p.span.tooLarge(page.Len(), page.bytes(), want)
		r.Pages.recycle(page)
		return nil, false, nil
	}
	was, most := p.span.step, p.span.growth(page.Len(), page.bytes(), want)
	p.span.read(page.Len(), page.bytes(), want)
	p.expected = page.memory.sizes().times(min(most, float64(p.span.step)/float64(was)))
	last = end >= place(p.file.blocks)*inBlock
	if page.Len() == 0 && !last {
		r.Pages.recycle(page)
		page = nil
	}
	return page, last, nil
}

func (p *byPlace) rest() rest { return rest{sql: fmt.Sprintf("ctid >= '%s'", p.span.at)} }

func (p *byPlace) note(b *change.Backfill) {
	b.Cursor, b.Place = nil, &change.Place{File: p.file.node, Block: int64(p.span.at / inBlock), Row: int(p.span.at % inBlock)}
}

// span is what the next page spans: some blocks, or, where the rows of one block are too large for a page, some places in it. Most places of a block are empty, so that the
// next page within one is measured by the rows of the last, and what is behind an empty page is asked for at once.
type span struct {
	at    place // all before it has been read
	step  place
	rest  bool // all of the block that is left
	found int  // rows in the block so far, where a page is less than one
}

// end is where the next page ends.
func (s *span) end() place {
	block := s.at - s.at%inBlock + inBlock // the end of this one
	switch end := s.at + s.step; {
	case s.rest:
		return block
	case s.step >= inBlock:
		return max(block, end-end%inBlock)
	default:
		return min(end, block)
	}
}

// read goes on behind a page with so many rows.
func (s *span) read(rows, bytes int, want size) {
	was := s.at
	s.at = s.end()
	if s.step >= inBlock {
		s.step, s.rest = place(min(max(inBlock, float64(s.at-was)*s.growth(rows, bytes, want)), mostBlocks*inBlock)), false
		return
	}
	s.found += rows
	s.rest = rows == 0 && !s.rest
	if rows > 0 {
		s.step = fitting(rows, bytes, want)
	}
	if s.at%inBlock > 0 {
		return
	}
	if s.rest = false; s.found == 0 {
		s.step = inBlock // perhaps there are none for long
	}
	s.found = 0
}

// tooLarge has the next page be smaller than the one that was just read up to that many bytes, and thrown away.
func (s *span) tooLarge(rows, bytes int, want size) {
	spanned := s.end() - s.at
	s.step, s.rest = max(1, spanned/2), false
	if spanned <= inBlock {
		s.step = min(s.step, fitting(rows, bytes, want))
	}
}

// growth is how much larger than a page with so many rows the next one is to be, if rows go on like this.
func (s *span) growth(rows, bytes int, want size) float64 {
	if rows == 0 {
		return growth
	}
	return min(growth, float64(want.bytes)/float64(bytes), float64(want.rows)/float64(rows))
}

// fitting is how many rows like these make a page, or a block when that is more than it can have.
func fitting(rows, bytes int, want size) place {
	const many = inBlock / 4
	n := min(float64(want.bytes)/float64(bytes)*float64(rows), float64(want.rows))
	if n >= many {
		return inBlock
	}
	return max(1, place(n))
}
