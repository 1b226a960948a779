package e2e_test

import (
	"context"
	"testing"

	"freshet/local/e2e"
)

// watch is a watcher at work.
type watch struct {
	t       *testing.T
	watcher *e2e.Watcher
	cancel  context.CancelFunc
	done    chan error
}

// watch begins to watch.
func (r *rig) watch(watcher *e2e.Watcher) *watch {
	ctx, cancel := context.WithCancel(r.Context())
	w := &watch{t: r.T, watcher: watcher, cancel: cancel, done: make(chan error, 1)}
	go func() { w.done <- watcher.Watch(ctx) }()
	return w
}

// looks waits until all keys were read a few times more.
func (w *watch) looks() {
	w.t.Helper()
	before := w.watcher.Seen().Looks
	eventually(w.t, patience, func() error {
		if w.watcher.Seen().Looks < before+2 {
			return errNotYet
		}
		return nil
	})
}

// end ends the watch.
func (w *watch) end() e2e.Sightings {
	w.t.Helper()
	w.cancel()
	if err := <-w.done; err != nil {
		w.t.Fatal(err)
	}
	return w.watcher.Seen()
}

// wantForward ends the watch and wants to have seen versions grow, and none go back.
func (w *watch) wantForward(steps int) {
	w.t.Helper()
	seen := w.end()
	if seen.Steps < steps {
		w.t.Errorf("%d steps forward were seen in %d looks, want at least %d: nothing was watched", seen.Steps, seen.Looks, steps)
	}
	const shown = 10
	for _, step := range seen.Backwards[:min(shown, len(seen.Backwards))] {
		w.t.Errorf("%s", step)
	}
	if more := len(seen.Backwards) - shown; more > 0 {
		w.t.Errorf("and %d more steps backwards", more)
	}
}
