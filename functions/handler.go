package functions

import (
	"context"
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
	// Values answers what keys hold, nil where there is no string.
	Values(ctx context.Context, keys []string) ([]*string, error)
	Letters
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
	// Poison says what becomes of messages that can never be written. Set before the first request.
	Poison Poison

	rules     *rules.Rules
	store     Store
	transform Transform
	works     sync.Pool
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
	// Against has a dry run show what the store has now beside each command.
	Against bool
}

// work is what one request needs and the next can use again.
type work struct {
	effect.Batch
	rules.Renderer
}

// Apply settles the batch: after a nil error every message is written, deleted, filtered or kept as a dead letter. broken are the messages
// of the batch that cannot be read.
func (h *Handler) Apply(ctx context.Context, b change.Batch, how Manner, broken ...change.Broken) (exchange.Receipt, error) {
	w := h.begin(ctx)
	defer h.end(w)
	if !how.Unfenced && b.Fence != nil {
		if err := checkFence(b.Fence); err != nil {
			return exchange.Receipt{}, err
		}
		w.Fence = b.Fence
	}
	if b.Fence != nil {
		w.Sink = b.Fence.Sink
	}
	// Without a fence a person waits for the answer, who is better told than a stream.
	parks := h.Poison.OnPoison == park && (w.Fence != nil || how.DryRun)
	if len(broken) > 0 && !parks {
		return exchange.Receipt{}, malformed("this is not a batch", broken[0].Err.Error())
	}
	w.parkBroken(broken)
	if how.DryRun {
		return h.preview(ctx, w, b.Messages, parks, how.Against)
	}
	var receipt exchange.Receipt
	if err := w.render(&receipt, 0, b.Messages, parks); err != nil {
		return exchange.Receipt{}, err
	}
	return h.settle(ctx, w, receipt, len(b.Messages)+len(broken))
}

// applyText is Apply for a body that was not read yet: its messages are rendered while it is read, without a list of them. ok is false where that
// cannot be done, be it for the body or for what it says; then nothing has been done.
func (h *Handler) applyText(ctx context.Context, b *change.Batch, body []byte) (r exchange.Receipt, ok bool, err error) {
	w := h.begin(ctx)
	defer h.end(w)
	n, parks := 0, h.Poison.OnPoison == park
	render := func(messages []change.Message) bool {
		err := w.render(&r, n, messages, parks)
		n += len(messages)
		return err == nil
	}
	if change.ParseBatchInPieces(b, body, render) != nil || b.Fence == nil || checkFence(b.Fence) != nil || !render(b.Messages) {
		return exchange.Receipt{}, false, nil
	}
	w.Fence, w.Sink = b.Fence, b.Fence.Sink
	r, err = h.settle(ctx, w, r, n)
	return r, true, err
}

// begin is work for a request; end must follow.
func (h *Handler) begin(ctx context.Context) *work {
	w := h.works.Get().(*work)
	w.Transform = h.transform.during(ctx)
	w.Limits = h.Poison.limits()
	return w
}

func (h *Handler) end(w *work) {
	w.Batch.Reset()
	w.Transform = nil
	h.works.Put(w)
}

// settle has the store do what was gathered of so many messages.
func (h *Handler) settle(ctx context.Context, w *work, r exchange.Receipt, messages int) (exchange.Receipt, error) {
	w.count(&r)
	r.Rules = h.rules.Hash()
	duplicate, err := h.store.Apply(ctx, &w.Batch)
	if err != nil {
		return exchange.Receipt{}, err
	}
	if duplicate {
		return exchange.Receipt{Duplicate: messages, Rules: r.Rules}, nil
	}
	return r, nil
}

// render gathers the effects of messages, from being the number of the first one in the batch, and counts those that have none.
func (w *work) render(r *exchange.Receipt, from int, messages []change.Message, parks bool) error {
	for i := range messages {
		kept, err := w.one(from+i, &messages[i])
		switch {
		case err != nil && parks && w.park(&messages[i], err):
		case err != nil:
			// A message that no attempt can settle holds its lane.
			return explain(err, from+i)
		case !kept:
			r.Filtered++
		}
	}
	return nil
}

// count adds what becomes of the keys.
func (w *work) count(r *exchange.Receipt) {
	r.Written, r.Deleted = w.Counts()
	r.Deleted += len(w.Clears)
	r.Duplicate = w.Overtaken
	r.Dead = len(w.Letters)
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
	opened, err := h.store.Open(ctx, ask, plan)
	opened.Short = true
	return opened, err
}

// Check reports what is in the way of this sink, and of these tables under the rules.
func (h *Handler) Check(ctx context.Context, ask exchange.CheckRequest) (exchange.Check, error) {
	if !validSink(ask.Sink) {
		return exchange.Check{}, wrongSink(ask.Sink)
	}
	found := h.rules.Doubts()
	if len(ask.Tables) > 0 {
		_, found = h.rules.Examine(ask.Tables)
	}
	report := exchange.Check{Findings: []problem.Details{}}
	for _, p := range append(found, h.store.Check(ctx, ask.Sink)...) {
		report.Findings = append(report.Findings, p.Details(0, ""))
	}
	return report, nil
}

// Ready answers nil when batches can be settled.
func (h *Handler) Ready(ctx context.Context) error { return h.store.Ready(ctx) }
