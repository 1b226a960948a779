package backfill

import (
	"slices"

	"freshet/poller/lane"
	"freshet/poller/pgoutput"
	"freshet/poller/row"
)

// Deal says how rows are dealt to lanes. The zero one does not deal.
type Deal struct {
	Lanes int
	Of    func(hash uint64) (lane int)
	Body  func(size int) []byte // memory for the rows of a lane
}

// memory is what the rows of a page are in. Pages are large and many, so it is used again.
type memory struct {
	records  []byte // where rows are not dealt
	lots     []lane.Lot
	keys     []byte
	scratch  []byte // for a key
	ends     []end
	rows     []Row
	size     int // of the records
	deal     Deal
	room     int // that the first message of a lot needs
	expected sizes
}

// sizes are those of a page's parts.
type sizes struct{ records, lot, keys, rows int }

// times is how large they are in a page that is so many times as large.
func (s sizes) times(factor float64) sizes {
	scaled := func(n int) int { return int(float64(n) * factor) }
	return sizes{records: scaled(s.records), lot: scaled(s.lot), keys: scaled(s.keys), rows: scaled(s.rows)}
}

// end is where a row is in the buffers.
type end struct {
	from, to, key int // the key from where that of the row before ends
	lot           int
	lane          uint64
}

// more is how much room is made above what is expected: a sixteenth.
func more(expected int) int { return expected + expected/16 }

func (m *memory) begin(l *row.Layout, deal Deal, expected sizes) {
	m.deal, m.room, m.expected = deal, l.Frame.Room(), expected
	if deal.Lanes > 0 && deal.Lanes != len(m.lots) {
		m.lots = make([]lane.Lot, deal.Lanes)
	}
	m.ends, m.keys = roomFor(m.ends, m.expected.rows), roomFor(m.keys, m.expected.keys)
	if deal.Lanes == 0 {
		m.records = roomFor(m.records, max(firstBytes, m.expected.records))
	}
}

// roomFor is the same memory unless that is far too small, as it would then be copied again and again while it grows.
func roomFor[T any](empty []T, expected int) []T {
	if cap(empty) >= expected-expected/8 {
		return empty
	}
	return make([]T, 0, more(expected))
}

const firstBytes = 1 << 12

// open is where the record of the next row is to be appended.
func (m *memory) open(k row.Key) []byte {
	e := end{lane: k.Lane}
	b := m.records
	if m.deal.Lanes > 0 {
		e.lot = m.deal.Of(k.Lane)
		b = m.lots[e.lot].Begin(m.deal.Body, m.room, max(firstBytes, more(m.expected.lot)), more(m.expected.rows)/m.deal.Lanes)
	}
	e.from = len(b)
	m.ends = append(m.ends, e)
	return b
}

// close takes b, to which the record was appended.
func (m *memory) close(b []byte, k row.Key) {
	n := len(m.ends) - 1
	e := &m.ends[n]
	e.to = len(b)
	m.size += e.to - e.from
	m.keys = append(m.keys, k.Bytes...)
	e.key = len(m.keys)
	if m.deal.Lanes == 0 {
		m.records = b
		return
	}
	m.lots[e.lot].End(b, e.from, uint32(n))
}

// key is that of the n-th row.
func (m *memory) key(n int) []byte {
	if n == 0 {
		return m.keys[:m.ends[0].key]
	}
	return m.keys[m.ends[n-1].key:m.ends[n].key]
}

// cut makes rows of the buffers, which do not move any more.
func (m *memory) cut() []Row {
	m.rows = slices.Grow(m.rows[:0], len(m.ends))
	for n, e := range m.ends {
		var record []byte
		if m.deal.Lanes > 0 {
			record = m.lots[e.lot].Record(e.from, e.to)
		} else {
			record = m.records[e.from:e.to]
		}
		m.rows = append(m.rows, Row{Record: record, Key: row.Key{Lane: e.lane, Bytes: m.key(n)}})
	}
	return m.rows
}

// held is how much memory this is.
func (m *memory) held() (n int) {
	for i := range m.lots {
		n += m.lots[i].Cap()
	}
	return n + cap(m.records)
}

// sizes are those of the rows in it.
func (m *memory) sizes() sizes {
	s := sizes{records: m.size, keys: len(m.keys), rows: len(m.ends)}
	for i := range m.lots {
		s.lot = max(s.lot, m.lots[i].Bytes())
	}
	return s
}

// reset forgets the rows.
func (m *memory) reset() {
	for i := range m.lots {
		m.lots[i].Reset()
	}
	clear(m.rows)
	m.records, m.keys, m.ends, m.rows, m.size = m.records[:0], m.keys[:0], m.ends[:0], m.rows[:0], 0
}

// NewPage is an empty page of this layout.
func NewPage(l *row.Layout, deal Deal) *Page { return (&Pages{}).page(l, deal, sizes{}) }

// page is an empty page in memory that was used before, if there is some.
func (p *Pages) page(l *row.Layout, deal Deal, expected sizes) *Page {
	m := p.memory()
	m.begin(l, deal, expected)
	page := &Page{Layout: l, memory: m}
	if deal.Lanes > 0 {
		page.Lots = m.lots
	}
	return page
}

// Append renders a row into the page.
func (p *Page) Append(t pgoutput.Tuple) {
	m := p.memory
	key := p.Layout.Key(m.scratch, t)
	m.scratch = key.Bytes
	record, unparsed := p.Layout.Append(m.open(key), t)
	m.close(record, key)
	p.doubt = p.doubt || unparsed > 0 && !p.Layout.Fixed
}

// bytes is the size of the page's records.
func (p *Page) bytes() int {
	if p.memory == nil {
		return 0
	}
	return p.memory.size
}

// Len counts the rows.
func (p *Page) Len() int {
	if p.memory == nil {
		return len(p.Rows)
	}
	return len(p.memory.ends)
}

// List makes a list of the rows, where they are in lots.
func (p *Page) List() []Row {
	if p.Rows == nil && p.memory != nil {
		p.Rows = p.memory.cut()
	}
	return p.Rows
}
