package functions

import (
	"context"
	"strings"
	"sync"

	"freshet/functions/effect"
	"freshet/functions/rules"
	"freshet/shared/change"
	"freshet/shared/exchange"
	"freshet/shared/problem"
)

// Store is where keys live. Its refusals are *effect.Refusal; any other error means "not now".
type Store interface {
	// Open begins a session, or answers again what the same session was told.
	Open(ctx context.Context, ask exchange.OpenRequest, plan exchange.Plan) (exchange.OpenResponse, error)
	// Apply does the whole batch; duplicate says that it was done before. The batch is the caller's again afterwards.
	Apply(ctx context.Context, b *effect.Batch) (duplicate bool, err error)
	Letters
	// Values answers what keys hold, nil where there is no string.
	Values(ctx context.Context, keys []string) ([]*string, error)
	// Check reports what is in the way of this sink.
	Check(ctx context.Context, sink string) problem.List
	// Ready answers nil when writing is possible.
	Ready(ctx context.Context) error
}

// Handler is what the function does, whatever carries the requests. It is safe for concurrent use.
type Handler struct {
	// Poison says what becomes of messages that can never be written. Set before the first request.
	Poison Poison

	rules *rules.Rules
	store Store
	works sync.Pool
}

// NewHandler connects rules and store.
func NewHandler(r *rules.Rules, s Store) *Handler {
	h := &Handler{rules: r, store: s}
	h.works.New = func() any { return &work{Renderer: rules.Renderer{Rules: r}} }
	return h
}

// Manner says how a batch is meant.
type Manner struct {
	// DryRun answers with the commands and touches nothing.
	DryRun bool
	// Against has a dry run show what the keys hold now, too.
	Against bool
	// Unfenced applies the batch as it is, even when it has a fence: an operator's word is final.
	Unfenced bool
}

// work is what one request needs and the next can use again.
type work struct {
	effect.Batch
	rules.Renderer
}

// Apply settles the batch: after a nil error every message is written, deleted, filtered or kept as a dead letter. broken are the messages
// of the batch that cannot be read.
func (h *Handler) Apply(ctx context.Context, b change.Batch, how Manner, broken ...change.Broken) (exchange.Receipt, error) {
	w := h.works.Get().(*work)
	defer func() {
		w.Batch.Reset()
		h.works.Put(w)
	}()
	if !how.Unfenced && b.Fence != nil {
		if err := checkFence(b.Fence); err != nil {
			return exchange.Receipt{}, err
		}
		w.Fence = b.Fence
	}
	if b.Fence != nil {
		w.Sink = b.Fence.Sink
	}
	w.Limits = h.Poison.limits()
	// Without a fence a person waits for the answer, who is better told than a stream.
	parks := h.Poison.OnPoison == park && (w.Fence != nil || how.DryRun)
	if len(broken) > 0 && !parks {
		return exchange.Receipt{}, malformed("this is not a batch", broken[0].Err.Error())
	}
	w.parkBroken(broken)
	receipt, err := w.render(b.Messages, parks)
	if err != nil {
		return exchange.Receipt{}, err
	}
	if how.DryRun {
		receipt.Commands = commands(&w.Batch)
		if how.Against {
			err = h.against(ctx, receipt.Commands)
		}
		return receipt, err
	}
	duplicate, err := h.store.Apply(ctx, &w.Batch)
	if err != nil {
		return exchange.Receipt{}, err
	}
	if duplicate {
		return exchange.Receipt{Duplicate: len(b.Messages) + len(broken)}, nil
	}
	return receipt, nil
}

// render gathers the effects of all messages and counts what becomes of them.
func (w *work) render(messages []change.Message, parks bool) (r exchange.Receipt, err error) {
	for i := range messages {
		kept, err := w.one(i, &messages[i])
		switch {
		case err != nil && parks && w.park(&messages[i], err):
		case err != nil:
			// A message that no attempt can settle holds its lane.
			return r, explain(err, i)
		case !kept:
			r.Filtered++
		}
	}
	r.Written, r.Deleted = w.Counts()
	r.Deleted += len(w.Clears)
	r.Duplicate = w.Overtaken
	r.Dead = len(w.Letters)
	return r, nil
}

// commands shows the effects to people. The strings are copies, since those of a batch do not outlive it.
func commands(b *effect.Batch) []exchange.Command {
	all := make([]exchange.Command, 0, len(b.Clears)+len(b.Writes))
	for _, prefix := range b.Clears {
		all = append(all, exchange.Command{Command: "DEL PREFIX", Key: strings.Clone(prefix)})
	}
	for _, w := range b.Writes {
		c := exchange.Command{Command: "DEL", Key: strings.Clone(w.Key)}
		if !w.Delete {
			c.Command, c.Value, c.ExpireMS = "SET", strings.Clone(w.Value), w.ExpireMS
		}
		if i := b.Parked(&w); i >= 0 {
			c.Why = b.Letters[i].Reason
		}
		all = append(all, c)
	}
	for _, l := range b.Letters {
		all = append(all, exchange.Command{Command: "XADD", Key: exchange.DeadLettersKey(b.Sink), Why: l.Reason})
	}
	return all
}

// against puts beside each write what its key holds now.
func (h *Handler) against(ctx context.Context, all []exchange.Command) error {
	var keys []string
	var of []int
	for i, c := range all {
		if c.Command == "SET" || c.Command == "DEL" {
			keys, of = append(keys, c.Key), append(of, i)
		}
	}
	values, err := h.store.Values(ctx, keys)
	for i, v := range values {
		all[of[i]].Present = v
	}
	return err
}

// Open begins a session, if the rules can serve its tables.
func (h *Handler) Open(ctx context.Context, ask exchange.OpenRequest) (exchange.OpenResponse, error) {
	if err := checkOpen(ask); err != nil {
		return exchange.OpenResponse{}, err
	}
	plan, err := h.rules.Plan(ask.Tables)
	if err != nil {
		return exchange.OpenResponse{}, err
	}
	return h.store.Open(ctx, ask, plan)
}

// Check reports what is in the way of this sink.
func (h *Handler) Check(ctx context.Context, sink string) (exchange.Check, error) {
	if !validSink(sink) {
		return exchange.Check{}, wrongSink(sink)
	}
	report := exchange.Check{Findings: []problem.Details{}}
	for _, p := range h.store.Check(ctx, sink) {
		report.Findings = append(report.Findings, p.Details(0, ""))
	}
	return report, nil
}

// Ready answers nil when batches can be settled.
func (h *Handler) Ready(ctx context.Context) error { return h.store.Ready(ctx) }
