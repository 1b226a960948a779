package functions

import (
	"context"
	"errors"
	"strings"

	"freshet/functions/effect"
	"freshet/functions/rules"
	"freshet/shared/change"
	"freshet/shared/exchange"
	"freshet/shared/problem"
)

// preview says what the messages would come to, and how. A message that can never be written is shown with the reason, where a real batch
// would be refused for it.
func (h *Handler) preview(ctx context.Context, w *work, messages []change.Message, against bool) (r exchange.Receipt, err error) {
	for i := range messages {
		wrong := error(nil)
		w.Preview(&messages[i], func(rule string, alone *effect.Batch, reason string, err error) {
			p := exchange.Preview{Message: i, Rule: rule, Commands: commands(alone), Reason: reason}
			var poison *rules.Poison
			if errors.As(err, &poison) {
				p.Poison = shown(poison)
			} else if err != nil {
				wrong = err
			}
			r.Previews = append(r.Previews, p)
		})
		if wrong != nil {
			return r, wrong
		}
		kept, err := w.Render(&messages[i], &w.Batch)
		switch {
		case err != nil:
			r.Dead++
		case !kept:
			r.Filtered++
		}
	}
	w.count(&r)
	r.Rules = h.rules.Hash()
	r.Commands = commands(&w.Batch)
	if against {
		err = h.compare(ctx, &r)
	}
	return r, err
}

func shown(p *rules.Poison) *problem.Details {
	d := p.Cause.Details(0, "")
	return &d
}

// compare puts what the store has now beside each command.
func (h *Handler) compare(ctx context.Context, r *exchange.Receipt) error {
	var keys []string
	var places []**string
	note := func(all []exchange.Command) {
		for i := range all {
			if all[i].Command != clearing {
				keys, places = append(keys, all[i].Key), append(places, &all[i].Present)
			}
		}
	}
	note(r.Commands)
	for _, p := range r.Previews {
		note(p.Commands)
	}
	values, err := h.store.Values(ctx, keys)
	if err != nil {
		return err
	}
	for i, value := range values {
		*places[i] = value
	}
	return nil
}

// clearing is how a truncate's command is called.
const clearing = "DEL PREFIX"

// commands shows the effects to people. The strings are copies, since those of a batch do not outlive it.
func commands(b *effect.Batch) []exchange.Command {
	all := make([]exchange.Command, 0, len(b.Clears)+len(b.Writes))
	for _, prefix := range b.Clears {
		all = append(all, exchange.Command{Command: clearing, Key: strings.Clone(prefix)})
	}
	for _, w := range b.Writes {
		c := exchange.Command{Command: "DEL", Key: strings.Clone(w.Key)}
		if !w.Delete {
			c.Command, c.Value, c.ExpireMS = "SET", strings.Clone(w.Value), w.ExpireMS
		}
		if w.IfThere {
			c.Command = "SET XX"
		}
		all = append(all, c)
	}
	return all
}
