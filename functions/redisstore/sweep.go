package redisstore

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/redis/go-redis/v9"

	"freshet/functions/effect"
	"freshet/shared/problem"
)

// scanned is how many slots of its table Redis looks at for one SCAN.
const scanned = 1000

// scan hands over all keys that begin with prefix, piece by piece. SCAN may name a key twice, and promises only those that are
// there all the time; within a truncate nothing else is written.
func (s *Store) scan(ctx context.Context, prefix string, each func(keys []string) error) error {
	var cursor uint64
	for {
		keys, next, err := s.client.Scan(ctx, cursor, glob(prefix)+"*", scanned).Result()
		if err != nil {
			return err
		}
		if len(keys) > 0 {
			if err := each(keys); err != nil {
				return err
			}
		}
		if cursor = next; cursor == 0 {
			return nil
		}
	}
}

var globSpecial = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`)

// glob is the pattern that matches text and nothing else.
func glob(text string) string { return globSpecial.Replace(text) }

// clearing is how far the truncates of a batch have come. It is kept in the state, so that the next attempt goes on where the time of a
// request ended: beginning anew it would look through the same keys of others each time, and might never come to the end.
type clearing struct {
	Session string `json:"session"`
	Lane    int    `json:"lane"`
	Seq     uint64 `json:"seq"`
	Run     string `json:"run"`    // of the server: a cursor means nothing to another
	Prefix  int    `json:"prefix"` // those before it are done
	Cursor  uint64 `json:"cursor"`
}

// clearFenced deletes the keys of tables. Every piece is fenced like the batch itself, so that a request that outlived its session
// or its answer cannot delete keys that were written since.
func (s *Store) clearFenced(ctx context.Context, f *fence, prefixes []string) (duplicate bool, err error) {
	if duplicate, err = s.fenced(ctx, &effect.Batch{Fence: f}, nil, false); duplicate || err != nil {
		return duplicate, err
	}
	if err := s.outdate(ctx, f.Sink, prefixes); err != nil {
		return false, s.trouble(err)
	}
	at, err := s.reached(ctx, f)
	if err != nil {
		return false, s.trouble(err)
	}
	for ; at.Prefix < len(prefixes); at.Prefix, at.Cursor = at.Prefix+1, 0 {
		if duplicate, err = s.clearOne(ctx, f, prefixes[at.Prefix], &at); duplicate || err != nil {
			return duplicate, err
		}
	}
	run, err := s.runID(ctx)
	if err != nil {
		return false, s.trouble(err)
	}
	if run != at.Run {
		return false, &problem.Error{What: "Redis has been restarted or replaced while a table was truncated", Why: "keys may have been missed", Fix: "nothing to do: it is truncated again", Transient: true}
	}
	return false, nil
}

// reached is where the attempt before this one ended.
func (s *Store) reached(ctx context.Context, f *fence) (clearing, error) {
	run, err := s.runID(ctx)
	if err != nil {
		return clearing{}, err
	}
	from := clearing{Session: f.Session, Lane: f.Lane, Seq: f.Seq, Run: run}
	text, err := s.client.HGet(ctx, stateKey(f.Sink), clearingField).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return from, err
	}
	var was clearing
	if json.Unmarshal([]byte(text), &was) == nil && was.Session == f.Session && was.Lane == f.Lane && was.Seq == f.Seq && was.Run == run && run != "" {
		return was, nil
	}
	return from, nil
}

func (s *Store) runID(ctx context.Context) (string, error) {
	return runOf(s.client.Info(ctx, "server"))
}

// notedEvery is after how many looks that found nothing the place is noted.
const notedEvery = 4

// clearOne deletes the keys under one prefix, from a place on.
func (s *Store) clearOne(ctx context.Context, f *fence, prefix string, at *clearing) (duplicate bool, err error) {
	for look := 1; ; look++ {
		keys, next, err := s.client.Scan(ctx, at.Cursor, glob(prefix)+"*", scanned).Result()
		if err != nil {
			return false, s.trouble(err)
		}
		at.Cursor = next
		if len(keys) > 0 || look%notedEvery == 0 {
			noted := *at
			if next == 0 {
				noted.Prefix++
			}
			if duplicate, err = s.fenced(ctx, &effect.Batch{Fence: f, Writes: deletes(keys)}, []any{clearingField, text(noted)}, false); duplicate || err != nil {
				return duplicate, err
			}
		}
		if next == 0 {
			return false, nil
		}
	}
}

func deletes(keys []string) []effect.Write {
	writes := make([]effect.Write, len(keys))
	for i, key := range keys {
		writes[i] = effect.Write{Key: key, Delete: true}
	}
	return writes
}
