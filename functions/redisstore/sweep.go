package redisstore

import (
	"context"
	"errors"
	"strings"

	"freshet/functions/effect"
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

// clearFenced deletes a table's keys. Every piece is fenced like the batch itself, so that a request that outlived its session
// or its answer cannot delete keys that were written since. When the time of a request does not suffice for all, the next attempt
// finds fewer.
func (s *Store) clearFenced(ctx context.Context, f *fence, prefix string) (duplicate bool, err error) {
	if duplicate, err = s.fenced(ctx, f, nil, false); duplicate || err != nil {
		return duplicate, err
	}
	var verdict error // what the fence said of the last piece, already fit for an answer
	err = s.scan(ctx, prefix, func(keys []string) error {
		if duplicate, verdict = s.fenced(ctx, f, deletes(keys), false); duplicate {
			verdict = errDone
		}
		return verdict
	})
	switch {
	case duplicate:
		return true, nil
	case verdict != nil:
		return false, verdict
	case err != nil:
		return false, s.trouble(err)
	}
	return false, nil
}

// errDone ends a scan when another attempt has finished the batch meanwhile.
var errDone = errors.New("applied before")

func deletes(keys []string) []effect.Write {
	writes := make([]effect.Write, len(keys))
	for i, key := range keys {
		writes[i] = effect.Write{Key: key, Delete: true}
	}
	return writes
}
