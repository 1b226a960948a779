package rules

import (
	"regexp"
	"slices"
	"strings"
	"unsafe"
)

// pick is the commonest of gjson's multipaths, record.{name,price,"stock":inventory_count}: an object of some of the row's columns, which is made in
// one pass over the record. It comes to the same bytes as gjson.
type pick struct {
	columns []string
	labels  []string // what stands before each value: its name, quoted, and a colon
	plain   bool     // all names are the columns' own
}

// picked are the parts of such a path: each a plain name, perhaps with another, quoted, before it.
var picked = regexp.MustCompile(`^(?:"([A-Za-z_][A-Za-z0-9_]*)":)?([A-Za-z_][A-Za-z0-9_]*)$`)

// parsePick is nil for any other path.
func parsePick(path string) *pick {
	list, begins := strings.CutPrefix(path, "record.{")
	list, ends := strings.CutSuffix(list, "}")
	if !begins || !ends {
		return nil
	}
	p := &pick{plain: true}
	for part := range strings.SplitSeq(list, ",") {
		match := picked.FindStringSubmatch(part)
		if match == nil || slices.Contains(p.columns, match[2]) {
			return nil
		}
		label := match[1]
		if label == "" {
			label = match[2]
		}
		p.plain = p.plain && label == match[2]
		p.columns = append(p.columns, match[2])
		p.labels = append(p.labels, `"`+label+`":`)
	}
	return p
}

// is says that a record is just the object: it has these columns and no others, in this order. Where the publication lists the columns that are picked, that
// is how rows come.
func (p *pick) is(record string) bool {
	if !p.plain {
		return false
	}
	at := 0
	for i, label := range p.labels {
		brace := byte(',')
		if i == 0 {
			brace = '{'
		}
		if at >= len(record) || record[at] != brace || !strings.HasPrefix(record[at+1:], label) {
			return false
		}
		at = skipValue(record, at+1+len(label))
	}
	return record[at:] == "}"
}

// of is the object for a record. What is not there is left out.
func (p *pick) of(record string) string {
	if p.is(record) {
		return record
	}
	var buffer [2 * few]string
	values := buffer[:0]
	if len(p.columns) > len(buffer) {
		values = make([]string, 0, len(p.columns))
	}
	values = values[:len(p.columns)]
	members(record, p.columns, values)
	size := len("{}")
	for i, v := range values {
		size += len(p.labels[i]) + len(v) + len(",")
	}
	dst := append(make([]byte, 0, size), '{')
	for i, v := range values {
		if v == "" {
			continue
		}
		if len(dst) > 1 {
			dst = append(dst, ',')
		}
		dst = append(append(dst, p.labels[i]...), v...)
	}
	dst = append(dst, '}')
	return unsafe.String(unsafe.SliceData(dst), len(dst)) // nobody writes to it any more
}
