package rules

import (
	"freshet/functions/effect"
	"freshet/shared/change"
)

// Remove deletes the keys of m's row, whatever the actions and the filters say: m cannot be written, and what is there is older. It
// answers a *Poison when not all of the keys can be known.
func (r *Renderer) Remove(m *change.Message, out *effect.Batch) error {
	if m.Action == change.Truncate {
		return nil
	}
	if err := r.begin(m); err != nil {
		return err
	}
	defer r.end()
	var wrong error
	for i := range r.table.rules {
		t := &r.table.rules[i]
		if m.Action == change.Update {
			r.leave(t, m, out)
		}
		var lack *lack
		if r.key, lack = t.key.of(r.key[:0], m); lack == nil {
			out.Delete(r.key)
		} else if !lack.absent && wrong == nil {
			wrong = noKey(t.key.table, lack)
		}
	}
	return wrong
}
