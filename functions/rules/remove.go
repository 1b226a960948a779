package rules

import (
	"freshet/functions/effect"
	"freshet/shared/change"
)

// Remove deletes the keys of m's row, whatever the actions and the filter say: m cannot be written, and what is there is older. It
// answers a *Poison when the keys cannot be known.
func (r *Renderer) Remove(m *change.Message, out *effect.Batch) (err error) {
	if m.Action == change.Truncate {
		return nil
	}
	if err := r.find(m); err != nil {
		return err
	}
	if r.key, err = r.table.appendKey(r.key[:0], m.Record); err != nil {
		return err
	}
	out.Delete(r.key)
	return nil
}
