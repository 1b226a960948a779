package functions

import (
	"context"
	"errors"
	"fmt"
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
	// Compare says how the key of each write stands, in their order, and changes nothing. With a fence it then wants the state to be exactly
	// where the fence is.
	Compare(ctx context.Context, b *effect.Batch) ([]effect.Standing, error)
	// Scan answers the next keys, those that begin with prefix, and the cursor behind them, which is empty at the end.
	Scan(ctx context.Context, ask exchange.ScanRequest, prefix string) (keys []string, cursor string, err error)
	// Sweep deletes these keys of the request, if its session is the sink's.
	Sweep(ctx context.Context, ask exchange.SweepRequest, keys []string) (deleted int, err error)
	// Check reports what is in the way of this sink.
	Check(ctx context.Context, sink string) problem.List
	// Ready answers nil when writing is possible.
	Ready(ctx context.Context) error
}

// Handler is what the function does, whatever carries the requests. It is safe for concurrent use.
type Handler struct {
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
	// Unfenced applies the batch as it is, even when it has a fence: an operator's word is final.
	Unfenced bool
}

// work is what one request needs and the next can use again.
type work struct {
	effect.Batch
	rules.Renderer
}

// Apply settles the batch: after a nil error every message is written, deleted or filtered.
func (h *Handler) Apply(ctx context.Context, b change.Batch, how Manner) (exchange.Receipt, error) {
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
	receipt, err := w.render(b.Messages)
	if err != nil {
		return exchange.Receipt{}, err
	}
	receipt.Rules = h.rules.Hash()
	if how.DryRun {
		receipt.Commands = commands(&w.Batch)
		return receipt, nil
	}
	duplicate, err := h.store.Apply(ctx, &w.Batch)
	if err != nil {
		return exchange.Receipt{}, err
	}
	if duplicate {
		return exchange.Receipt{Duplicate: len(b.Messages), Rules: receipt.Rules}, nil
	}
	return receipt, nil
}

// render gathers the effects of all messages and counts what becomes of them.
func (w *work) render(messages []change.Message) (r exchange.Receipt, err error) {
	for i := range messages {
		kept, err := w.Render(&messages[i], &w.Batch)
		switch {
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
	return r, nil
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
		all = append(all, c)
	}
	return all
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
