package rules

import "freshet/shared/change"

// ValueOf is the value alone.
func ValueOf(r *Rules, m *change.Message) (string, error) { return r.value.of(m) }
