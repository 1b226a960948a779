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
	p := &pick{}
	for part := range strings.SplitSeq(list, ",") {
		match := picked.FindStringSubmatch(part)
		if match == nil || slices.Contains(p.columns, match[2]) {
			return nil
		}
		label := match[1]
		if label == "" {
			label = match[2]
		}
		p.columns = append(p.columns, match[2])
		p.labels = append(p.labels, `"`+label+`":`)
	}
	return p
}

// of is the object for a record. What is not there is left out.
func (p *pick) of(record string) string {
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
