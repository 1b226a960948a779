package problem_test

import (
	"slices"
	"testing"

	"freshet/shared/problem"
)

func TestNearest(t *testing.T) {
	known := []string{"name", "price", "inventory_count", "record"}
	for word, want := range map[string]string{
		"inventory_cout": "inventory_count", "inventroy_count": "inventory_count", "recrod": "record", "pric": "price", "priec": "price", "nam": "", "": "", "x": "",
		"colour": "", "names": "name", "price": "price", "ecord": "record", "reocdr": "",
	} {
		if got := problem.Nearest(word, slices.Values(known)); got != want {
			t.Errorf("%s: got %q, want %q", word, got, want)
		}
	}
}
