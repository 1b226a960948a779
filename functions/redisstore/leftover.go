package redisstore

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"freshet/shared/change"
)

// leftover are the prefixes under which tables had their keys before the rules changed, of those tables whose keys are all under the new ones
// once this batch is there; and the fields that say that nothing is left.
func (s *Store) leftover(ctx context.Context, f *fence) (prefixes []string, emptied []any, err error) {
	var names []string
	for _, table := range slices.Sorted(maps.Keys(f.Backfills)) {
		if complete(f.Backfills[table]) {
			names = append(names, leftoverField+table)
		}
	}
	if len(names) == 0 {
		return nil, nil, nil
	}
	found, err := s.client.HMGet(ctx, stateKey(f.Sink), names...).Result()
	if err != nil {
		return nil, nil, s.trouble(err)
	}
	for i, name := range names {
		text, there := found[i].(string)
		if !there {
			continue
		}
		var of []string
		if err := json.Unmarshal([]byte(text), &of); err != nil {
			return nil, nil, damaged(f.Sink, fmt.Errorf("field %s: %w", name, err))
		}
		prefixes, emptied = append(prefixes, of...), append(emptied, name, "[]")
	}
	return prefixes, emptied, nil
}

// complete says that the table has all the keys it is going to have, or none because it was cleared and rows may not be read.
func complete(b change.Backfill) bool {
	return b.State == change.BackfillDone && b.Where == "" || b.State == change.BackfillOff
}
