package rules

import (
	"bytes"
	"fmt"
	"unsafe"

	"freshet/functions/effect"
	"freshet/shared/change"
)

// Renderer turns messages into effects. It serves one goroutine at a time and is worth keeping.
type Renderer struct {
	Rules *Rules
	// Transform makes the values instead of the rules, when it is set. What it does not keep loses its key.
	Transform func(m *change.Message) (value string, keep bool, err error)

	table *tableRules // of the message before; most have the same
	last  origin      // where its metadata are
	view  view
	key   []byte
	old   []byte
	made  made
	left  left
}

// made is what Transform said of the message.
type made struct {
	done  bool
	value string
	keep  bool
	err   error
}

// left is why a rule wrote nothing for a message; only a preview asks.
type left struct {
	unwanted  bool       // the action does not reach the store
	unmet     *condition // the row does not meet it
	dropped   bool       // Transform did not keep it
	keyless   *lack      // the row has no key, and never had
	forgotten bool       // the key is only removed: the application fills it anew
}

// Render adds what m does to out. It answers false when m touches no key, and a *Poison when m can have no key or no value; then the
// keys that are known to be out of date are deleted in out.
func (r *Renderer) Render(m *change.Message, out *effect.Batch) (kept bool, err error) {
	if err := r.begin(m); err != nil {
		return false, err
	}
	for i := range r.table.rules {
		touched, wrong := r.apply(&r.table.rules[i], m, out)
		kept = kept || touched
		if err == nil {
			err = wrong
		}
	}
	r.end()
	return kept, err
}

// begin makes r ready for the rules of m.
func (r *Renderer) begin(m *change.Message) (err error) {
	if from := originOf(&m.Metadata); from != r.last || from.primary == nil {
		if r.table == nil || !r.table.serves(&m.Metadata) {
			if r.table, err = r.Rules.tableRules(&m.Metadata); err != nil {
				return err
			}
		}
		r.last = from
	}
	r.view.m = m
	return nil
}

// origin is where the metadata of a message are in memory. The list of the primary key's columns is made anew for each batch, and it is held here, so that no
// other can take its place; messages that share it are of one batch, and what is at one place of a batch says one thing. Its bytes are not held.
type origin struct {
	primary       *string
	columns       int
	schema, table uintptr
}

func originOf(m *change.Metadata) origin {
	place := func(text string) uintptr { return uintptr(unsafe.Pointer(unsafe.StringData(text))) }
	return origin{unsafe.SliceData(m.PrimaryKey), len(m.PrimaryKey), place(m.Schema), place(m.Table)}
}

// end lets go of the message: a Renderer outlives the request that it came with.
func (r *Renderer) end() {
	r.view.m, r.view.whole = nil, ""
	if r.made.done {
		r.made = made{}
	}
}

// apply does what one rule says.
func (r *Renderer) apply(t *tableRule, m *change.Message, out *effect.Batch) (touched bool, err error) {
	if len(t.key.others) > 0 && m.Action == change.Update && (t.wanted.update || t.wanted.remove) {
		touched = r.leave(t, m, out)
	}
	if !t.wanted.has(m.Action) {
		r.left.unwanted = true
		return touched, nil
	}
	if m.Action == change.Truncate {
		out.Clear(t.key.prefix())
		return true, nil
	}
	var lack *lack
	r.key, lack = t.key.of(r.key[:0], m)
	stays := m.Action != change.Delete && r.meets(t)
	switch {
	case lack != nil && (stays || !lack.absent):
		return touched, noKey(t.key.table, lack)
	case lack != nil:
		r.left.keyless = lack
		return touched, nil
	case stays:
		stays, err = r.write(t, m, out)
	}
	if !stays {
		out.Delete(r.key)
	}
	return true, err
}

// leave deletes the key that the row had before its key changed.
func (r *Renderer) leave(t *tableRule, m *change.Message, out *effect.Batch) bool {
	old, had := t.key.before(r.old[:0], m)
	r.old = old
	if !had {
		return false
	}
	var lack *lack
	if r.key, lack = t.key.of(r.key[:0], m); lack == nil && bytes.Equal(r.old, r.key) {
		return false
	}
	out.Delete(r.old)
	return true
}

// meets says whether the row meets all conditions.
func (r *Renderer) meets(t *tableRule) bool {
	for i := range t.filter {
		if c := &t.filter[i]; !c.meets(&r.view) {
			r.left.unmet = c
			return false
		}
	}
	return true
}

// write puts the row's value under its key; done is false when the key has to go instead.
func (r *Renderer) write(t *tableRule, m *change.Message, out *effect.Batch) (done bool, err error) {
	if t.write == writeDelete {
		r.left.forgotten = true
		return false, nil
	}
	value, keep, err := r.value(t, m)
	if err != nil || !keep {
		r.left.dropped = !keep
		return false, err
	}
	ms, err := t.expiry.of(r.key, &r.view)
	if err != nil {
		return false, err
	}
	if t.write == writeRefresh {
		out.Refresh(r.key, value, ms)
	} else {
		out.Set(r.key, value, ms)
	}
	return true, nil
}

func (r *Renderer) value(t *tableRule, m *change.Message) (value string, keep bool, err error) {
	if r.Transform == nil {
		value, err = t.value.of(&r.view)
		return value, true, err
	}
	if !r.made.done { // once for all rules
		r.made.value, r.made.keep, r.made.err = r.Transform(m)
		r.made.done = true
	}
	return r.made.value, r.made.keep, r.made.err
}

// Preview hands over what each rule makes of m: its effect alone, or why it writes nothing, or the error.
func (r *Renderer) Preview(m *change.Message, limits effect.Limits, each func(rule string, alone *effect.Batch, reason string, err error)) {
	if err := r.begin(m); err != nil {
		each(r.Rules.of(m.Metadata.Of())[0].place, new(effect.Batch), "", err)
		return
	}
	for i := range r.table.rules {
		r.left = left{}
		alone := effect.Batch{Limits: limits}
		_, err := r.apply(&r.table.rules[i], m, &alone)
		if why := alone.Unfit(); err == nil && why != nil {
			err = &Poison{Table: m.Metadata.Of(), Cause: why}
		}
		each(r.table.rules[i].place, &alone, r.left.reason(m.Action), err)
	}
	r.end()
}

func (l left) reason(a change.Action) string {
	switch {
	case l.unwanted:
		return fmt.Sprintf("the action %s is not wanted", a)
	case l.unmet != nil:
		return "the row does not meet " + l.unmet.text
	case l.dropped:
		return "the transform does not keep the row"
	case l.forgotten:
		return "keys of this rule are only removed"
	case l.keyless != nil:
		return fmt.Sprintf("the row has no key: its column %q %s", l.keyless.column, l.keyless.why)
	}
	return ""
}
