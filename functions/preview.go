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

// preview says what the messages would come to, and how. It is refused where a real batch would be.
func (h *Handler) preview(ctx context.Context, w *work, messages []change.Message, parks, against bool) (exchange.Receipt, error) {
	var all []exchange.Preview
	for i := range messages {
		wrong := error(nil)
		w.Preview(&messages[i], w.Limits, func(rule string, alone *effect.Batch, reason string, err error) {
			p := exchange.Preview{Message: i, Rule: rule, Commands: commands(alone), Reason: reason}
			var poison *rules.Poison
			if errors.As(err, &poison) {
				p.Poison = shown(poison)
			} else if err != nil {
				wrong = err
			}
			all = append(all, p)
		})
		if wrong != nil {
			return exchange.Receipt{}, wrong
		}
	}
	var r exchange.Receipt
	err := w.render(&r, 0, messages, parks)
	if err != nil {
		return exchange.Receipt{}, err
	}
	w.count(&r)
	r.Previews, r.Rules, r.Commands = all, h.rules.Hash(), commands(&w.Batch)
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
			if c := all[i].Command; c != clearing && c != keeping {
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

// How the commands of a truncate and of a dead letter are called.
const (
	clearing = "DEL PREFIX"
	keeping  = "XADD"
)

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
		if i := b.Parked(&w); i >= 0 {
			c.Why = b.Letters[i].Reason
		}
		all = append(all, c)
	}
	for _, l := range b.Letters {
		all = append(all, exchange.Command{Command: keeping, Key: exchange.DeadLettersKey(b.Sink), Why: l.Reason})
	}
	return all
}
