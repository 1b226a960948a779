package e2e

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/tidwall/gjson"
)

// Watcher reads keys over and over and notes every step backwards: a version that is lower than one already seen
// under its key, or a key that is gone after it was there.
type Watcher struct {
	Redis  *redis.Client
	Keys   []string
	Column string // holds the version, a whole number, in the JSON value
	// MayVanish is for tables whose rows are deleted, or whose keys are cleared on purpose.
	MayVanish bool

	mu      sync.Mutex
	seen    Sightings
	highest map[string]int64
}

// Sightings is what a watcher has seen.
type Sightings struct {
	Looks     int // times that all keys were read
	Steps     int // times that a key's version had grown
	Backwards []StepBack
}

// StepBack is one step backwards.
type StepBack struct {
	Key           string
	Before, After string // the version; After is "nothing" when the key was gone
	At            time.Time
}

func (s StepBack) String() string {
	return fmt.Sprintf("%s %s went from %s to %s", s.At.Format("15:04:05.000"), s.Key, s.Before, s.After)
}

// Seen is what was seen until now. It may be asked while Watch runs.
func (w *Watcher) Seen() Sightings {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen
}

// Watch reads until ctx ends. An answer that is no JSON object with such a column is an error.
func (w *Watcher) Watch(ctx context.Context) error {
	w.highest = make(map[string]int64, len(w.Keys))
	for ctx.Err() == nil {
		values, err := w.Redis.MGet(ctx, w.Keys...).Result()
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			return fmt.Errorf("watch: %w", err)
		}
		if err := w.compare(values); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Millisecond): // leaves the server to those who work
		}
	}
	return nil
}

// compare looks at the answer to one MGET.
func (w *Watcher) compare(values []any) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, key := range w.Keys {
		text, there := values[i].(string)
		if !there {
			w.vanished(key)
			continue
		}
		version := gjson.Get(text, w.Column)
		if version.Type != gjson.Number {
			return fmt.Errorf("watch: %s holds no number %q: %s", key, w.Column, text)
		}
		w.there(key, version)
	}
	w.seen.Looks++
	return nil
}

func (w *Watcher) there(key string, version gjson.Result) {
	before, known := w.highest[key]
	now := version.Int()
	switch {
	case known && now < before:
		w.note(key, before, version.Raw)
	case known && now > before:
		w.seen.Steps++
	}
	w.highest[key] = now
}

func (w *Watcher) vanished(key string) {
	if before, known := w.highest[key]; known && !w.MayVanish {
		w.note(key, before, "nothing")
		delete(w.highest, key) // one step, one note
	}
}

func (w *Watcher) note(key string, before int64, after string) {
	w.seen.Backwards = append(w.seen.Backwards, StepBack{Key: key, Before: strconv.FormatInt(before, 10), After: after, At: time.Now()})
}
