package change

import (
	"encoding/binary"
	"slices"
)

// spelling is a message that was read before, cut where its neighbours differ: rows of one table have the same bytes between the values of their
// columns. Where a message has these very bytes, and one value in each place between, it is as sound as the one before, and what it means is known.
type spelling struct {
	Action
	gaps   []gap   // before each value of the record, and before that of changes
	tail   gap     // from changes to the metadata
	record int     // how far behind the beginning the record begins
	behind int     // how far before the value of changes it ends
	key    int     // behind which gap the primary key's value is, if the key is of one column; else -1
	column *string // that column
}

// gap is text that is compared often. Most of it is short, and then a call takes longer than comparing.
type gap struct {
	text     string
	low      uint64 // its first eight bytes,
	high     uint64 // and the next eight;
	lowMask  uint64 // which of them it has
	highMask uint64
}

func newGap(text string) gap {
	g := gap{text: text}
	for i := 0; i < min(len(text), 8); i++ {
		g.low |= uint64(text[i]) << (8 * i)
		g.lowMask |= 0xff << (8 * i)
	}
	for i := 8; i < min(len(text), 16); i++ {
		g.high |= uint64(text[i]) << (8 * (i - 8))
		g.highMask |= 0xff << (8 * (i - 8))
	}
	return g
}

// begins says whether rest, which is at least 16 bytes long, begins with the text.
func (g *gap) begins(rest []byte) bool {
	low, high := binary.LittleEndian.Uint64(rest), binary.LittleEndian.Uint64(rest[8:])
	return (low^g.low)&g.lowMask|(high^g.high)&g.highMask == 0 && (len(g.text) <= 16 || len(rest) >= len(g.text) && string(rest[16:len(g.text)]) == g.text[16:])
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
	body, start, i, before := p.body, p.at, p.at, 0
	var key span
	p.depth += 2 // into the message, and its record
	for k := range s.gaps {
		g := &s.gaps[k]
		if len(body)-i < 16 || !g.begins(body[i:]) {
			return false
		}
		i += len(g.text)
		if k == len(s.gaps)-1 {
			before = i
			p.depth--
		}
		begins := i
		switch c := byteAt(body, i); {
		case c == '"':
			if i = plainEnd(body, i+1); i < 0 {
				return false
			}
		case c == '-' || isDigit(c):
			if i = numberEnd(body, i); i < 0 {
				return false
			}
		default:
			if p.at = i; !p.pass() {
				return false
			}
			i = p.at
		}
		if k == s.key {
			key = span{begins, i}
		}
	}
	if before == 0 || len(body)-i < 16 || !s.tail.begins(body[i:]) {
		return false
	}
	var err error
	if m.Changes, err = objectMember("changes", p.text[before:i]); err != nil {
		return false
	}
	p.at = i + len(s.tail.text)
	if !p.goesOn(&m.Metadata) && p.metadata(&m.Metadata) != nil || m.Metadata.Table == "" || p.next() != '}' {
		return false
	}
	m.Action, m.Record = s.Action, p.text[start+s.record:before-s.behind]
	m.key = met{}
	if primary := m.Metadata.PrimaryKey; len(primary) == 1 && &primary[0] == s.column {
		m.key = met{p.text[key.from:key.to], s.column}
	}
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
	*s = spelling{Action: m.Action, gaps: slices.Grow(s.gaps[:0], 16), tail: newGap(p.text[changes.to:metadata.from]), record: record.from - start, behind: changes.from - record.to, key: -1}
	from := start
	columns := scanner{body: p.body[:record.to], text: p.text[:record.to], at: record.from}
	columns.enter()
	for name, more := columns.member(); more; name, more = columns.member() {
		if primary := m.Metadata.PrimaryKey; s.column == nil && len(primary) == 1 && name == primary[0] {
			s.key, s.column = len(s.gaps), &primary[0]
		}
		s.gaps = append(s.gaps, newGap(p.text[from:columns.at]))
		columns.value()
		from = columns.at
	}
	s.gaps = append(s.gaps, newGap(p.text[from:changes.from]))
}
