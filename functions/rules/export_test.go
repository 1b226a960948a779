package rules

import (
	"strings"

	"freshet/shared/change"
)

// ValueOf is the value of the default rule alone.
func ValueOf(r *Rules, m *change.Message) (string, error) { return r.fallback.value.of(&view{m: m}) }

// Whole is the message as paths see it.
func Whole(m *change.Message) string { return whole(m) }

// Irreversible is what is said of a template, of those too that no setting can hold.
func Irreversible(text string) string {
	var t template
	for rest := text; rest != ""; {
		literal, behind, _ := strings.Cut(rest, "{")
		name, after, _ := strings.Cut(behind, "}")
		p, _, _ := placeholder("FN_KEY", name)
		t, rest = append(t, piece{text: literal}, p), after
	}
	return t.irreversible("FN_KEY")
}
