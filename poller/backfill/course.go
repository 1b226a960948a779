package backfill

import (
	"context"

	"freshet/shared/change"
)

// course is the order in which a table's rows are read, and how far that has come.
type course interface {
	// next reads a page. There is none where nothing was found at this place; last says that nothing is left to be read.
	next(ctx context.Context, r *Runner, want size) (page *Page, last bool, err error)
	// rest is the condition for what is still to be read.
	rest() rest
	// note writes how far it has come into what the sink keeps.
	note(b *change.Backfill)
}

// size is what is wanted of a page.
type size struct {
	bytes, rows int // at which a page is large enough
	deal        Deal
}

// byKey reads rows in the order of the primary key, through its index.
type byKey struct {
	source
	after    []string // the primary key of the last row; empty to begin with
	limit    int      // rows of the next page
	expected sizes    // of it
}

// The number of rows in a page grows from firstLimit until the page has the size that is aimed at.
const (
	firstLimit = 16
	mostRows   = 20_000
)

// newByKey begins after a primary key, at the beginning when it is empty.
func newByKey(s source, after []string) *byKey {
	return &byKey{source: s, after: after, limit: firstLimit}
}

// next asks for so many rows; the last page has fewer.
func (k *byKey) next(ctx context.Context, r *Runner, want size) (page *Page, last bool, err error) {
	if page, err = k.page(ctx, r, k.query(k.after, k.limit), 2*want.bytes, want.deal, k.expected); err != nil {
		return nil, false, err
	}
	last = page.Len() < k.limit && !page.partial
	if page.Len() > 0 {
		k.after = page.last
	}
	was := k.limit
	k.limit = nextLimit(k.limit, page, want.bytes, want.rows)
	k.expected = page.memory.sizes().times(float64(k.limit) / float64(was))
	return page, last, nil
}

func (k *byKey) rest() rest { return rest{sql: k.beyond(k.after), args: k.after} }

func (k *byKey) note(b *change.Backfill) { b.Cursor, b.Place = k.after, nil }

// growth is how much larger than this page the next one may be.
const growth = 16

// nextLimit is the next page's number of rows, at most most, from the size of this one.
func nextLimit(limit int, page *Page, aim, most int) int {
	if page.partial {
		limit = page.Len()
	}
	switch bytes := page.bytes(); {
	case bytes > 2*aim:
		return max(1, limit/2)
	case bytes < aim/2:
		return min(most, limit*min(growth, aim/max(1, bytes)))
	}
	return limit
}
