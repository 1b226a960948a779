package rules

// form is text with holes that are filled from a row: a key, or the value of a map.
type form struct {
	text  []string // before, between and behind the holes
	holes []hole
	// columns are what the holes need of the record, found in one go.
	columns []string
}

// hole is filled with a column of the record, or with what a path finds.
type hole struct {
	column int // index in columns; -1 for a path
	path   path
	// primary is set for the places of {primary_key}.
	primary bool
}

// few is how many columns a form reads without memory of its own.
const few = 4

// add puts a hole behind what is there, then text.
func (f *form) add(h hole, column, text string) {
	if h.column = -1; column != "" {
		h.column = f.need(column)
	}
	f.holes = append(f.holes, h)
	f.text = append(f.text, text)
}

// need is the index of the column among those that are read.
func (f *form) need(column string) int {
	for i, known := range f.columns {
		if known == column {
			return i
		}
	}
	f.columns = append(f.columns, column)
	return len(f.columns) - 1
}

// read finds the columns in a record. buffer is used when it is large enough.
func (f *form) read(record string, buffer []string) []string {
	if len(f.columns) > len(buffer) {
		buffer = make([]string, len(f.columns))
	}
	values := buffer[:len(f.columns)]
	members(record, f.columns, values)
	return values
}

// reads are the columns that the holes are filled from.
func (f *form) reads() (all columns) {
	for _, h := range f.holes {
		if h.column >= 0 {
			all.add(columns{names: []string{f.columns[h.column]}})
		} else {
			all.add(h.path.reads)
		}
	}
	return all
}
