package admin

import (
	"fmt"
	"sync"
	"time"

	"freshet/shared/problem"
)

// Health knows whether the poller does its work, and if not, why. Safe for concurrent use.
type Health struct {
	mu    sync.Mutex
	doing *problem.Error // nil while streaming
	since time.Time
	// Waiting tells what delivery waits for, and since when; nil when for nothing.
	Waiting func() (*problem.Error, time.Time)
}

// NewHealth begins with a poller that is starting.
func NewHealth(waiting func() (*problem.Error, time.Time)) *Health {
	return &Health{doing: &problem.Error{What: "the poller is starting"}, since: time.Now(), Waiting: waiting}
}

// Streaming says that changes flow.
func (h *Health) Streaming() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.doing = nil
}

// Not says what keeps changes from flowing. It answers whether that is new.
func (h *Health) Not(why *problem.Error, now time.Time) (changed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	changed = h.doing == nil || h.doing.What != why.What
	if changed {
		h.since = now
	}
	h.doing = why
	return changed
}

// Ready is nil when changes flow and the function takes them.
func (h *Health) Ready(now time.Time) *problem.Error {
	h.mu.Lock()
	why, since := h.doing, h.since
	h.mu.Unlock()
	if why == nil {
		why, since = h.Waiting()
	}
	if why == nil {
		return nil
	}
	said := *why
	said.Why = fmt.Sprintf("%s (since %s)", said.Why, now.Sub(since).Round(time.Second))
	return &said
}
