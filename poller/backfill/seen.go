package backfill

import (
	"hash/maphash"
	"slices"

	"freshet/poller/row"
)

// mostSeen bounds what is remembered: 8 MB. Keys of rows beyond it are looked up.
const mostSeen = 1_000_000

// seen remembers the keys of rows that a comparison has read, so that most keys which are found in Redis afterwards need not be looked up. It keeps
// 64-bit hashes with a seed of its own: a key without a row passes for one that has it once in ten million million. A row that is deleted meanwhile was there when it was compared. Guarded by Verification.mu.
type seen struct {
	seed   maphash.Seed
	hashes []uint64
	sorted bool
	name   []byte
}

// add remembers rows by their Key.Bytes.
func (s *seen) add(l *row.Layout, rows []Row) {
	if s.hashes == nil {
		s.seed = maphash.MakeSeed()
	}
	table := append([]byte(l.Table.String()), 0)
	for i := range rows[:min(len(rows), mostSeen-len(s.hashes))] {
		name, ok := l.AppendKeyName(append(s.name[:0], table...), rows[i].Key.Bytes)
		if s.name = name; ok {
			s.hashes, s.sorted = append(s.hashes, maphash.Bytes(s.seed, name)), false
		}
	}
}

// has says that a row with this primary key, as it stands in the name of a key, was read.
func (s *seen) has(table, primaryKey string) bool {
	if len(s.hashes) == 0 || primaryKey == "" {
		return false
	}
	if !s.sorted {
		slices.Sort(s.hashes)
		s.sorted = true
	}
	s.name = append(append(append(s.name[:0], table...), 0), primaryKey...)
	_, found := slices.BinarySearch(s.hashes, maphash.Bytes(s.seed, s.name))
	return found
}
