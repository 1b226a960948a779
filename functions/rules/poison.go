package rules

import (
	"fmt"

	"freshet/shared/change"
	"freshet/shared/problem"
)

// Poison is a message that can have no key or no value, however often it is tried.
type Poison struct {
	Table  change.Table
	Column string // empty when no single column is the cause
	Cause  *problem.Error
}

func (p *Poison) Error() string { return p.Cause.Error() }

// Unwrap gives the finding for people.
func (p *Poison) Unwrap() error { return p.Cause }

func noKey(t change.Table, l *lack) *Poison {
	return &Poison{Table: t, Column: l.column, Cause: &problem.Error{
		What: fmt.Sprintf("a row of %s has no key", t),
		Why:  fmt.Sprintf("its column %q %s", l.column, l.why),
		Fix:  "every part of a key needs a value: correct the row, or use other columns in FN_KEY",
	}}
}

func noValue(t change.Table, path string) *Poison {
	return &Poison{Table: t, Cause: &problem.Error{
		What: fmt.Sprintf("a row of %s has no value", t),
		Why:  fmt.Sprintf("the path %s finds nothing in its message", path),
		Fix:  "check the names in FN_VALUE against the columns of the table, and that the publication has these columns",
	}}
}
