package functions

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"freshet/functions/effect"
	"freshet/functions/rules"
	"freshet/shared/change"
	"freshet/shared/exchange"
	"freshet/shared/problem"
)

// Verify compares what Apply would write with what is there, and writes nothing.
func (h *Handler) Verify(ctx context.Context, b change.Batch, how Manner) (exchange.Comparison, error) {
	w := h.works.Get().(*work)
	defer func() {
		w.Batch.Reset()
		w.Transform = nil
		h.works.Put(w)
	}()
	w.Transform = h.transform.during(ctx)
	if err := checkComparison(b); err != nil {
		return exchange.Comparison{}, err
	}
	if !how.Unfenced && b.Fence != nil {
		if err := checkPlace(b.Fence); err != nil {
			return exchange.Comparison{}, err
		}
		w.Fence = b.Fence
	}
	poison, err := w.expect(b.Messages)
	if err != nil {
		return exchange.Comparison{}, err
	}
	standings, err := h.store.Compare(ctx, &w.Batch)
	if err != nil {
		return exchange.Comparison{}, err
	}
	c := count(w.Writes, standings)
	c.Poison = poison
	return c, nil
}

// expect gathers what the messages say should be there. One that can never be written says nothing, and no attempt would change that.
func (w *work) expect(messages []change.Message) (poison int, err error) {
	for i := range messages {
		w.Begin(i)
		var bad *rules.Poison
		if _, err := w.Render(&messages[i], &w.Batch); errors.As(err, &bad) {
			poison++
		} else if err != nil {
			return 0, err
		}
	}
	return poison, nil
}

// count adds the standings up. The keys are copies, since those of a batch do not outlive it.
func count(writes []effect.Write, standings []effect.Standing) (c exchange.Comparison) {
	differs := func(i int, kind exchange.DifferenceKind) {
		c.Differences = append(c.Differences, exchange.Difference{Message: int(writes[i].From) - 1, Kind: kind, Key: strings.Clone(writes[i].Key)})
	}
	for i, s := range standings {
		switch s {
		case effect.Match:
			c.Match++
		case effect.Absent:
			c.Absent++
		case effect.Missing:
			c.Missing++
			differs(i, exchange.Missing)
		case effect.Stale:
			c.Stale++
			differs(i, exchange.Stale)
		case effect.Orphan:
			c.Orphan++
			differs(i, exchange.Orphan)
		}
	}
	return c
}

func checkComparison(b change.Batch) error {
	if n := len(b.Messages); n > exchange.MostVerified {
		return tooMany("messages", n)
	}
	if i := slices.IndexFunc(b.Messages, func(m change.Message) bool { return m.Action == change.Truncate }); i >= 0 {
		return malformed("a truncate cannot be compared", fmt.Sprintf("message %d is one; the keys of a table are found with POST %s", i, exchange.RouteScan))
	}
	return nil
}

func tooMany(what string, n int) error {
	return &Malformed{&problem.Error{
		What: fmt.Sprintf("the request has %d %s", n, what), Why: fmt.Sprintf("one request is bounded to %d", exchange.MostVerified), Fix: "ask in several requests",
	}}
}

// Scan answers the next keys of some tables, with what they were made of.
func (h *Handler) Scan(ctx context.Context, ask exchange.ScanRequest) (exchange.ScanResponse, error) {
	if err := checkScan(ask); err != nil {
		return exchange.ScanResponse{}, err
	}
	inverter, err := h.rules.Inverter(ask.Tables)
	if err != nil {
		return exchange.ScanResponse{}, err
	}
	keys, cursor, err := h.store.Scan(ctx, ask, inverter.Prefix())
	if err != nil {
		return exchange.ScanResponse{}, err
	}
	found := exchange.ScanResponse{Cursor: cursor, Rules: h.rules.Hash()}
	found.Keys, found.Unknown = inverter.Find(keys)
	return found, nil
}

func checkScan(ask exchange.ScanRequest) error {
	switch {
	case !validSink(ask.Sink):
		return wrongSink(ask.Sink)
	case len(ask.Tables) == 0:
		return malformed("the request names no tables", `"tables" is empty`)
	case ask.Count < 1 || ask.Count > exchange.MostVerified:
		return malformed("the request cannot be counted", fmt.Sprintf(`"count" is %d; it is 1 to %d`, ask.Count, exchange.MostVerified))
	}
	return nil
}

// Sweep removes keys under a table's prefix that no row can have. That none can, the poller has to know: whether a text is a primary key is
// decided by the types of its columns. Keys that are not under the prefix stay, whatever the request says.
func (h *Handler) Sweep(ctx context.Context, ask exchange.SweepRequest) (exchange.SweepResponse, error) {
	if err := h.checkSweep(ask); err != nil {
		return exchange.SweepResponse{}, err
	}
	inverter, err := h.rules.Inverter([]exchange.TableShape{ask.Table})
	if err != nil {
		return exchange.SweepResponse{}, err
	}
	keys := make([]string, 0, len(ask.Keys))
	for _, key := range ask.Keys {
		if inverter.Under(string(key)) {
			keys = append(keys, string(key))
		}
	}
	deleted, err := h.store.Sweep(ctx, ask, keys)
	return exchange.SweepResponse{Deleted: deleted}, err
}

func (h *Handler) checkSweep(ask exchange.SweepRequest) error {
	switch {
	case !validSink(ask.Sink):
		return wrongSink(ask.Sink)
	case ask.Session == "":
		return malformed("the request names no session", `"session" is missing`)
	case len(ask.Keys) > exchange.MostVerified:
		return tooMany("keys", len(ask.Keys))
	case ask.Rules != h.rules.Hash():
		return &effect.Refusal{Reason: exchange.ReasonRules, Cause: &problem.Error{
			What: "the rules have changed since these keys were found", Why: fmt.Sprintf("they were taken apart by rules %q, and the rules are %q now", ask.Rules, h.rules.Hash()),
			Fix: "scan for them again; a new session learns the new rules",
		}}
	}
	return nil
}
