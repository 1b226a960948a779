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
	file tableFile
	at   place // all before it has been read
	step place // how much the next page is to span
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
	p := &byPlace{source: s, file: file, step: firstBlocks * inBlock}
	if reached != nil && reached.File == file.node {
		p.at = place(reached.Block)*inBlock + place(reached.Row)
	}
	return p
}

// errMoved says that the table is in another file by now.
var errMoved = errors.New("the table was written anew")

func (p *byPlace) next(ctx context.Context, r *Runner, want size) (page *Page, last bool, err error) {
	end := p.end()
	sql := "SELECT " + p.from() + p.where(fmt.Sprintf("ctid >= '%s' AND ctid < '%s'", p.at, end))
	page, err = p.page(ctx, r, statement{sql: sql, file: true}, 2*want.bytes, want.deal)
	switch {
	case err != nil:
		return nil, false, err
	case page.file != p.file.node:
		r.Pages.recycle(page)
		return nil, false, errMoved
	case page.partial: // nobody knows where its last row is
		p.step = max(1, (end-p.at)/2)
		r.Pages.recycle(page)
		return nil, false, nil
	}
	p.step = nextStep(end-p.at, page, want)
	p.at, last = end, end >= place(p.file.blocks)*inBlock
	if page.Len() == 0 && !last {
		r.Pages.recycle(page)
		page = nil
	}
	return page, last, nil
}

// end is where the next page ends: at the end of a block, or, where a page is less than a block, within one.
func (p *byPlace) end() place {
	end := p.at + p.step
	if block := end - end%inBlock; block > p.at {
		return block
	}
	return min(end, p.at-p.at%inBlock+inBlock)
}

func (p *byPlace) rest() rest { return rest{sql: fmt.Sprintf("ctid >= '%s'", p.at)} }

func (p *byPlace) note(b *change.Backfill) {
	b.Cursor, b.Place = nil, &change.Place{File: p.file.node, Block: int64(p.at / inBlock), Row: int(p.at % inBlock)}
}

// nextStep is how much the next page spans when this one is what so much has brought: as much as brings the size that is wanted, if rows go on like this.
func nextStep(step place, page *Page, want size) place {
	factor := float64(growth)
	if rows := page.Len(); rows > 0 {
		factor = min(factor, float64(want.bytes)/float64(page.bytes()), float64(want.rows)/float64(rows))
	}
	return place(min(max(1, float64(step)*factor), mostBlocks*inBlock))
}
