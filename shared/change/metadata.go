package change

import (
	"errors"
	"strings"

	"github.com/tidwall/gjson"
)

// metadata reads the object in full only when it is not spelled like one before it.
func (p *parser) metadata(m *Metadata) (err error) {
	if p.next() != '{' {
		return errors.New(`"metadata" is not an object`)
	}
	for i := range p.patterns {
		end := p.patterns[i].readSame(p.text, p.at, m)
		same := end > 0
		if !same {
			end = p.patterns[i].read(p.body, p.text, p.at, m)
		}
		if end > 0 {
			p.again = same && i == p.matched
			p.at, p.matched = end, i
			return nil
		}
	}
	*m = Metadata{Schema: "public"}
	start := p.at
	var stamp, position, transaction span
	p.enter()
	for err == nil {
		name, ok := p.member()
		if !ok {
			break
		}
		here := p.at
		raw := p.value()
		switch name {
		case "table_schema":
			m.Schema, err = stringMember("table_schema", raw)
		case "table_name":
			m.Table, err = stringMember("table_name", raw)
		case "commit_timestamp":
			m.CommitTimestamp, err = stringMember("commit_timestamp", raw)
			stamp = span{here, p.at}
		case "position":
			if raw != "null" {
				m.Position, err = ParsePosition(text(raw))
			}
			position = span{here, p.at}
		case "primary_key":
			m.PrimaryKey, err = p.keys.parse(raw)
		case "transaction_id":
			m.TransactionID = transactionID(raw)
			transaction = span{here, p.at}
		case "parked":
			m.Parked, err = stringMember("parked", raw)
		}
	}
	if err == nil && p.err == nil {
		p.patterns[p.learned%len(p.patterns)].learn(p.text, span{start, p.at}, stamp, position, transaction, m)
		p.learned++
	}
	return err
}

// goesOn is metadata for where it mostly is that of the message before but for the ordinal. Where it is not, nothing is read.
func (p *parser) goesOn(m *Metadata) bool {
	if p.again {
		end := p.patterns[p.matched].readSame(p.text, p.at, m)
		if p.again = end > 0; p.again {
			p.at = end
		}
	}
	return p.again
}

// transactionID is a number, usually; anything else has the value that gjson gives it.
func transactionID(raw string) uint32 { return uint32(gjson.Parse(raw).Uint()) }

// span is a part of the body.
type span struct{ from, to int }

// pattern is metadata that was read before, cut where its neighbours differ: the messages of a batch are of few tables and spelled by one
// writer. Metadata with the same bytes around another timestamp, position and transaction means the same but for these three; of the same
// transaction, even these are the same bytes but for the last digits of the position.
type pattern struct {
	head   string // up to the timestamp, with its opening quote
	middle string // from behind the timestamp to the position, with its opening quote
	tail   string // from behind the position, with its closing quote, to the transaction
	Metadata
	begin, end string // of the last that was read: what stands before and behind the ordinal
}

// learn makes p the pattern of metadata that was read in full, unless its parts have another order than the poller's, or another type.
func (p *pattern) learn(text string, all, stamp, position, transaction span, m *Metadata) {
	ordered := stamp.from > 0 && stamp.to < position.from && transaction.to+1 == all.to
	if !ordered || text[stamp.from] != '"' || text[position.from] != '"' {
		return
	}
	*p = pattern{head: text[all.from : stamp.from+1], middle: text[stamp.to : position.from+1], tail: text[position.to-1 : transaction.from], Metadata: *m}
}

// read reads the metadata at i into m, if it is spelled like the pattern, and returns where it ends; else 0.
func (p *pattern) read(body []byte, text string, i int, m *Metadata) (end int) {
	if p.head == "" || !strings.HasPrefix(text[i:], p.head) {
		return 0
	}
	stamp := i + len(p.head)
	stampEnd, escaped := stringEnd(body, stamp)
	if escaped || stampEnd < 0 || !strings.HasPrefix(text[stampEnd:], p.middle) {
		return 0
	}
	position := stampEnd + len(p.middle)
	positionEnd := min(position+PositionLen, len(text))
	if !strings.HasPrefix(text[positionEnd:], p.tail) {
		return 0
	}
	transaction, end := wholeNumber(body, positionEnd+len(p.tail))
	if end == 0 || byteAt(body, end) != '}' {
		return 0
	}
	at, err := ParsePosition(text[position:positionEnd])
	if err != nil {
		return 0
	}
	end++
	p.CommitTimestamp, p.Position, p.TransactionID = text[stamp:stampEnd-1], at, transaction
	p.begin, p.end = text[i:positionEnd-ordinalLen], text[positionEnd:end]
	*m = p.Metadata
	return end
}

// readSame is read for metadata of the same transaction as the last.
func (p *pattern) readSame(text string, i int, m *Metadata) (end int) {
	if p.begin == "" || !strings.HasPrefix(text[i:], p.begin) {
		return 0
	}
	i += len(p.begin)
	end = min(i+ordinalLen, len(text))
	if !strings.HasPrefix(text[end:], p.end) {
		return 0
	}
	ordinal, ok := parseOrdinal(text[i:end])
	if !ok {
		return 0
	}
	*m = p.Metadata
	m.Position.Ordinal = ordinal
	return end + len(p.end)
}

// wholeNumber reads a number of digits alone, not too many; end is 0 if it is another. What does not fit is cut off, as transactionID does.
func wholeNumber(body []byte, i int) (n uint32, end int) {
	end = digitsEnd(body, i)
	if end < 0 || body[i] == '0' && end > i+1 || end > i+10 {
		return 0, 0
	}
	for _, c := range body[i:end] {
		n = n*10 + uint32(c-'0')
	}
	return n, end
}

// keyCache keeps the last primary key list, since the messages of a batch mostly share it.
type keyCache struct {
	raw     string
	columns []string
}

func (c *keyCache) parse(raw string) ([]string, error) {
	if c.raw != "" && raw == c.raw {
		return c.columns, nil
	}
	list := gjson.Parse(raw)
	if !list.IsArray() {
		return nil, errors.New(`"primary_key" is not an array of column names`)
	}
	var columns []string
	for _, column := range list.Array() {
		if column.Type != gjson.String || column.Str == "" {
			return nil, errors.New(`"primary_key" is not an array of column names`)
		}
		columns = append(columns, column.Str)
	}
	c.raw, c.columns = raw, columns
	return columns, nil
}
