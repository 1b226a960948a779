package rules

import "freshet/shared/change"

// ValueOf is the value of the default rule alone.
func ValueOf(r *Rules, m *change.Message) (string, error) { return r.fallback.value.of(&view{m: m}) }

// Whole is the message as paths see it.
func Whole(m *change.Message) string { return whole(m) }
