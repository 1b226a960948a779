package change

import (
	"slices"
	"strings"
)

// spelling is a message that was read before, cut where its neighbours differ: rows of one table have the same bytes between the values of their
// columns. Where a message has these very bytes, and one value in each place between, it is as sound as the one before, and what it means is known.
type spelling struct {
	Action
	gaps   []string // before each value of the record, and before that of changes
	tail   string   // from changes to the metadata
	record int      // how far behind the beginning the record begins
	behind int      // how far before the value of changes it ends
}

// spelled reads the next message into m if it is spelled like one before it. If not, it is still the next.
func (p *parser) spelled(m *Message) bool {
	at, depth := p.at, p.depth
	for i := range p.spellings {
		if p.spellings[i].read(p, m) {
			p.alike++
			return true
		}
		if p.err != nil {
			return true // whoever reads it in full comes to the same
		}
		p.at, p.depth, p.begun = at, depth, true
	}
	*m = Message{}
	return false
}

func (s *spelling) read(p *parser, m *Message) bool {
	start, changes := p.at, 0
	p.depth += 2 // into the message, and its record
	for i, gap := range s.gaps {
		if !strings.HasPrefix(p.text[p.at:], gap) {
			return false
		}
		p.at += len(gap)
		if i == len(s.gaps)-1 {
			changes = p.at
			p.depth--
		}
		if !p.pass() {
			return false
		}
	}
	if changes == 0 || !strings.HasPrefix(p.text[p.at:], s.tail) {
		return false
	}
	var err error
	if m.Changes, err = objectMember("changes", p.text[changes:p.at]); err != nil {
		return false
	}
	p.at += len(s.tail)
	if p.metadata(&m.Metadata) != nil || m.Metadata.Table == "" || p.next() != '}' {
		return false
	}
	m.Action, m.Record = s.Action, p.text[start+s.record:changes-s.behind]
	p.at++
	p.depth--
	return true
}

// learn keeps how the message from start to here was spelled, unless its parts have another order than the poller's.
func (p *parser) learn(start int, record, changes, metadata span, m *Message) {
	ordered := record.from > 0 && record.to < changes.from && metadata.to+1 == p.at
	if !ordered || m.Record == "" || byteAt(p.body, p.at) != ',' || p.alike < 4*p.learnt {
		return // the last of a batch, or of so many kinds that learning does not pay
	}
	s := &p.spellings[p.learnt%len(p.spellings)]
	p.learnt++
	*s = spelling{Action: m.Action, gaps: slices.Grow(s.gaps[:0], 16), tail: p.text[changes.to:metadata.from], record: record.from - start, behind: changes.from - record.to}
	from := start
	columns := scanner{body: p.body[:record.to], text: p.text[:record.to], at: record.from}
	columns.enter()
	for _, more := columns.member(); more; _, more = columns.member() {
		s.gaps = append(s.gaps, p.text[from:columns.at])
		columns.value()
		from = columns.at
	}
	s.gaps = append(s.gaps, p.text[from:changes.from])
}
