package change

import (
	"encoding/binary"
	"slices"
)

// spelling is a message that was read before, cut where its neighbours differ: rows of one table have the same bytes between the values of their
// columns. Where a message has these very bytes, and one value in each place between, it is as sound as the one before, and what it means is known.
type spelling struct {
	Action  Action  // empty where it is that of the message before
	gaps    []gap   // before each value of the record, and before that of changes, if there is one
	tail    gap     // from the last of these values to the metadata, or to the digits of the ordinal
	values  int     // of the record
	record  int     // how far behind the beginning the record begins
	behind  int     // how far behind the last of its values it ends
	changes bool    // there is such a value
	short   bool    // the ordinal takes the place of the metadata
	key     int     // behind which gap the primary key's value is, if the key is of one column; else -1
	column  *string // that column
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
	if s.tail.text == "" || s.short && p.before == nil {
		return false
	}
	body, start, i, recordEnd := p.body, p.at, p.at, p.at
	var key, changes span
	p.depth += 2 // into the message, and its record
	for k := range s.gaps {
		g := &s.gaps[k]
		if len(body)-i < 16 || !g.begins(body[i:]) {
			return false
		}
		i += len(g.text)
		if k == s.values {
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
		switch k {
		case s.key:
			key = span{begins, i}
		case s.values:
			changes = span{begins, i}
		}
		if k == s.values-1 {
			recordEnd = i
		}
	}
	if len(body)-i < 16 || !s.tail.begins(body[i:]) {
		return false
	}
	if s.values == len(s.gaps) {
		p.depth--
	}
	if m.Changes = ""; s.changes {
		var err error
		if m.Changes, err = objectMember("changes", p.text[changes.from:changes.to]); err != nil {
			return false
		}
	}
	p.at = i + len(s.tail.text)
	if s.short {
		if !p.ordinal(m) {
			return false
		}
	} else if !p.goesOn(&m.Metadata) && p.metadata(&m.Metadata) != nil || m.Metadata.Table == "" || p.next() != '}' {
		return false
	}
	if m.Action = s.Action; s.Action == "" {
		m.Action = p.before.Action
	}
	m.Record = p.text[start+s.record : recordEnd+s.behind]
	m.key = met{}
	if primary := m.Metadata.PrimaryKey; len(primary) == 1 && &primary[0] == s.column {
		m.key = met{p.text[key.from:key.to], s.column}
	}
	p.at++
	p.depth--
	return true
}

// ordinal reads the digits of a short message's ordinal and the quote behind them; what else it is, the message before was.
func (p *parser) ordinal(m *Message) bool {
	end := p.at + ordinalLen
	if len(p.body) < end+len(shortAfter) || p.text[end:end+len(shortAfter)] != shortAfter {
		return false
	}
	nth, ok := parseOrdinal(p.text[p.at:end])
	m.Metadata = p.before.Metadata
	m.Metadata.Position.Ordinal = nth
	p.at = end + 1
	return ok
}

// parts are where the members of a message are; empty for those that it has not.
type parts struct{ record, changes, metadata, ordinal span }

// ordered says that they follow each other as the poller writes them, to the end of the message.
func (p parts) ordered(end int) bool {
	last, before := p.metadata, p.record
	if p.ordinal.to > 0 {
		last = p.ordinal
	}
	if p.changes.to > 0 {
		before = p.changes
	}
	return p.record.from > 0 && p.record.to <= before.to && (before == p.record || p.record.to < before.from) && before.to < last.from && last.to+1 == end
}

// learn keeps how the message from start to here was spelled, unless its parts have another order than the poller's. said is the action that it
// names itself.
func (p *parser) learn(start int, said Action, at parts, m *Message) {
	if !at.ordered(p.at) || m.Record == "" || byteAt(p.body, p.at) != ',' || p.learnt >= len(p.spellings) && p.alike < 4*p.learnt {
		return // the last of a batch, or of so many kinds that learning does not pay
	}
	s := &p.spellings[p.learnt%len(p.spellings)]
	p.learnt++
	*s = spelling{Action: said, gaps: slices.Grow(s.gaps[:0], 16), record: at.record.from - start, changes: at.changes.to > 0, short: at.ordinal.to > 0, key: -1}
	from := start
	columns := scanner{body: p.body[:at.record.to], text: p.text[:at.record.to], at: at.record.from}
	columns.enter()
	for name, more := columns.member(); more; name, more = columns.member() {
		if primary := m.Metadata.PrimaryKey; s.column == nil && len(primary) == 1 && name == primary[0] {
			s.key, s.column = len(s.gaps), &primary[0]
		}
		s.gaps = append(s.gaps, newGap(p.text[from:columns.at]))
		columns.value()
		from = columns.at
	}
	s.values, s.behind = len(s.gaps), at.record.to-from
	if s.changes {
		s.gaps = append(s.gaps, newGap(p.text[from:at.changes.from]))
		from = at.changes.to
	}
	if s.short {
		s.tail = newGap(p.text[from : at.ordinal.from+1])
	} else {
		s.tail = newGap(p.text[from:at.metadata.from])
	}
}
