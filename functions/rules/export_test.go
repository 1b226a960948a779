package rules

import (
	"strings"

	"freshet/shared/change"
)

// ValueOf is the value alone.
func ValueOf(r *Rules, m *change.Message) (string, error) { return r.value.of(m) }

// Irreversible is what is said of a template, of those too that no setting can hold.
func Irreversible(text string) string {
	var t template
	for rest := text; rest != ""; {
		literal, behind, _ := strings.Cut(rest, "{")
		name, after, _ := strings.Cut(behind, "}")
		t, rest = append(t, piece{text: literal}, piece{placeholder: name}), after
	}
	return t.irreversible("FN_KEY")
}
