package functions

import (
	"errors"
	"fmt"

	"freshet/functions/effect"
	"freshet/functions/rules"
	"freshet/shared/change"
	"freshet/shared/config"
	"freshet/shared/problem"
)

// Poison says what becomes of messages that can never be written.
type Poison struct {
	OnPoison string       `split_words:"true" default:"park" desc:"What becomes of a message that can never be written: park keeps it in the Redis stream freshet:SINK:dead and goes on; hold stops its lane until a person has mended it."`
	MaxValue config.Bytes `split_words:"true" default:"536870912" desc:"Largest value that is written, in bytes, or such as 1MiB; by itself a Redis takes up to 512 MB (proto-max-bulk-len)."`
}

// The values of FN_ON_POISON.
const (
	park = "park"
	hold = "hold"
)

// mostKey is the longest key. Redis would take 512 MB, but a key of that kind is a mistake in a template.
const mostKey = 64 << 10

// Validate refuses what cannot work.
func (p Poison) Validate() (found problem.List) {
	if p.OnPoison != park && p.OnPoison != hold {
		found = append(found, &problem.Error{What: fmt.Sprintf("FN_ON_POISON is %q", p.OnPoison), Fix: "use park or hold"})
	}
	if p.MaxValue < 1 {
		found = append(found, &problem.Error{What: fmt.Sprintf("FN_MAX_VALUE is %d", p.MaxValue), Why: "nothing could ever be written", Fix: "FN_MAX_VALUE=512MiB"})
	}
	return found
}

func (p Poison) limits() effect.Limits { return effect.Limits{Key: mostKey, Value: int(p.MaxValue)} }

// mostKept is the largest message that is kept as a whole: letters are bounded in number, and the Redis is there for other things.
const mostKept = 1 << 20

// one renders a message. An error that is not a *rules.Poison concerns the whole batch.
func (w *work) one(i int, m *change.Message) (kept bool, err error) {
	w.Begin(i)
	if m.Metadata.Parked != "" {
		return true, &rules.Poison{Table: m.Metadata.Of(), Cause: &problem.Error{What: "a row could not be sent", Why: m.Metadata.Parked}}
	}
	kept, err = w.Render(m, &w.Batch)
	if why := w.Unfit(); err == nil && why != nil {
		err = &rules.Poison{Table: m.Metadata.Of(), Cause: why}
	}
	return kept, err
}

// park keeps m as a letter and removes its keys as far as they can be known. It answers false when the error is not m's fault.
func (w *work) park(m *change.Message, err error) (parked bool) {
	var poison *rules.Poison
	if !errors.As(err, &poison) {
		return false
	}
	_ = w.Remove(m, &w.Batch) // without a key there is nothing to remove
	l := effect.Letter{Table: m.Metadata.Of().String(), Reason: poison.Cause.Error(), Position: m.Metadata.Position.String(), KeyOnly: m.Metadata.Parked != ""}
	text := m.Append(nil)
	if len(text) > mostKept && m.Action != change.Truncate {
		r := m.Reduced(fmt.Sprintf("the message has %d bytes; only those up to %d are kept as a whole", len(text), mostKept))
		text, l.KeyOnly = r.Append(nil), true
	}
	if len(text) > mostKept { // the key itself
		text = nil
	}
	l.Message = string(text)
	w.Park(l)
	return true
}

// parkBroken keeps messages that cannot be read. Nobody knows which rows they are of.
func (w *work) parkBroken(all []change.Broken) {
	for _, b := range all {
		l := effect.Letter{From: -1, Reason: "the message cannot be read: " + b.Err.Error(), Message: b.Raw}
		if len(l.Message) > mostKept {
			l.Message, l.KeyOnly = "", true
		}
		w.Letters = append(w.Letters, l)
	}
}

// explain says which message it was.
func explain(err error, i int) error {
	var poison *rules.Poison
	if !errors.As(err, &poison) {
		return err
	}
	cause := *poison.Cause
	cause.Why = fmt.Sprintf("message %d: %s", i, cause.Why)
	return &rules.Poison{Table: poison.Table, Column: poison.Column, Cause: &cause}
}
