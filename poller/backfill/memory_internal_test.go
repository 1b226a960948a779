package backfill

import (
	"fmt"
	"testing"

	"freshet/poller/pgoutput"
	"freshet/poller/render"
	"freshet/poller/row"
	"freshet/shared/change"
)

// A page that is as large as was expected finds all of its memory at its beginning: what grows is copied again and again.
func TestPage_AsLargeAsExpected(t *testing.T) {
	layout, err := row.New(change.Table{Schema: "public", Name: "t"}, []string{"id", "note"}, []*render.Type{render.Builtin(20), render.Builtin(25)}, []string{"id"}, false)
	if err != nil {
		t.Fatal(err)
	}
	const lanes = 8
	given, pieces := 0, 0
	deal := Deal{
		Lanes: lanes, Of: func(hash uint64) int { return int(hash % lanes) },
		Body: func(size int) []byte {
			given, pieces = given+size, pieces+1
			return make([]byte, 0, size)
		},
	}
	fill := func(p *Page, rows int) {
		for n := range rows {
			text := fmt.Sprint(1_000_000 + n)
			p.Append(pgoutput.Tuple{{Kind: pgoutput.Text, Text: []byte(text)}, {Kind: pgoutput.Text, Text: []byte("what is to be said of " + text)}})
		}
	}
	var pages Pages
	small := pages.page(layout, deal, sizes{})
	fill(small, 1000)
	expected := small.memory.sizes().times(8)
	pages.recycle(small)
	for _, in := range []string{"memory that was a small page's", "new memory"} {
		given, pieces = 0, 0
		p := pages.page(layout, deal, expected)
		m := p.memory
		before := cap(m.ends) + cap(m.keys)
		fill(p, 8000)
		if pieces != lanes || m.held() != given || cap(m.ends)+cap(m.keys) != before {
			t.Errorf("in %s: of %d pieces of %d bytes for %d lanes became %d; of %d beside them %d", in, pieces, given, lanes, m.held(), before, cap(m.ends)+cap(m.keys))
		}
		if given > 2*p.bytes() {
			t.Errorf("in %s: %d bytes for %d", in, given, p.bytes())
		}
	}
}
