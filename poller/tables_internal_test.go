package poller

import (
	"slices"
	"testing"

	"freshet/poller/pgoutput"
)

// The catalog tells of now, the stream of then.
func TestPrimaryKey(t *testing.T) {
	relation := func(identity byte, columns ...string) *pgoutput.Relation {
		r := &pgoutput.Relation{Identity: identity}
		for _, c := range columns {
			r.Columns = append(r.Columns, pgoutput.Column{Name: c, Key: c[0] == '*'})
			if c[0] == '*' {
				r.Columns[len(r.Columns)-1].Name = c[1:]
			}
		}
		return r
	}
	for _, c := range []struct {
		name     string
		relation *pgoutput.Relation
		now      []string
		want     []string // nil for an error
	}{
		{"as it is now, in the key's own order", relation('d', "*a", "*b", "c"), []string{"b", "a"}, []string{"b", "a"}},
		{"another key then", relation('d', "*a", "b"), []string{"b"}, []string{"a"}},
		{"the key's column did not exist then", relation('d', "*a", "b"), []string{"z"}, []string{"a"}},
		{"the table is gone now", relation('d', "*a", "b"), nil, []string{"a"}},
		{"no key then, one now: its rows are inserts, which have all columns", relation('d', "a", "b"), []string{"a"}, []string{"a"}},
		{"no key then, and none now", relation('d', "a", "b"), nil, nil},
		{"no key then, and one of other columns now", relation('d', "a", "b"), []string{"z"}, nil},
		{"full", relation('f', "*a", "*b"), []string{"b"}, []string{"b"}},
		{"full, and no key now", relation('f', "*a", "*b"), nil, nil},
		{"an index wider than the key", relation('i', "*a", "*b", "c"), []string{"b"}, []string{"b"}},
	} {
		got, err := primaryKey(c.relation, c.now)
		if (err != nil) != (c.want == nil) || !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, %v, want %v", c.name, got, err, c.want)
		}
	}
}
