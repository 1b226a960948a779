package backfill

import (
	"hash/maphash"

	"freshet/poller/row"
)

// mostSeen bounds what is remembered. Keys of rows beyond it are looked up.
const mostSeen = 1_000_000

// seen remembers the keys of rows that a comparison has read, so that most keys which are found in Redis afterwards need not be looked up. It keeps
// 64-bit hashes with a seed of its own: a key without a row passes for one that has it once in ten million million. A row that is deleted meanwhile was there when it was compared. Guarded by Verification.mu.
type seen struct {
	seed maphash.Seed
	// slots are a power of two; 0 is a free one. A hash is in the slot that its last bits say, or in the next that was free.
	slots  []uint64
	n      int      // how many are taken
	name   []byte   // the memory of a key's name
	hashes []uint64 // those to look at next
}

// add remembers rows by their Key.Bytes.
func (s *seen) add(l *row.Layout, rows []Row) {
	if s.slots == nil {
		s.seed = maphash.MakeSeed()
	}
	table := s.begin(l.Table.String())
	for i := range rows {
		name, ok := l.AppendKeyName(s.name[:table], rows[i].Key.Bytes)
		if s.name = name; ok {
			s.hash()
		}
	}
	s.insert()
}

// without leaves of primary keys, as they stand in the names of keys, those of which no row was read.
func (s *seen) without(table string, primaryKeys []string) []string {
	if s.n == 0 {
		return primaryKeys
	}
	begin := s.begin(table)
	for _, text := range primaryKeys {
		s.name = append(s.name[:begin], text...)
		s.hash()
	}
	left := primaryKeys[:0]
	for i, hash := range s.hashes {
		if s.slots[s.find(hash)] == 0 {
			left = append(left, primaryKeys[i])
		}
	}
	return left
}

// begin prepares for the names of one table's keys, and returns where the primary key begins in them.
func (s *seen) begin(table string) int {
	s.hashes = s.hashes[:0]
	s.name = append(append(s.name[:0], table...), 0)
	return len(s.name)
}

// hash puts the hash of the name with those to look at, which is never 0. Where they are lies all over the memory: in a loop that does little else the
// processor fetches several at a time, which takes a third of the time.
func (s *seen) hash() { s.hashes = append(s.hashes, max(maphash.Bytes(s.seed, s.name), 1)) }

func (s *seen) insert() {
	// The most slots are 8 MiB. With a million hashes one in twenty is free: lookups pass 11 slots on average, and 240 in vain, which lie side by side.
	const most = 1 << 20
	for _, hash := range s.hashes {
		if s.n >= len(s.slots)/4*3 && len(s.slots) < most {
			s.grow()
		}
		if at := s.find(hash); s.slots[at] == 0 && s.n < mostSeen {
			s.slots[at] = hash
			s.n++
		}
	}
}

func (s *seen) grow() {
	const fewest = 1 << 10
	before := s.slots
	s.slots = make([]uint64, max(fewest, 2*len(before)))
	for _, hash := range before {
		if hash != 0 {
			s.slots[s.find(hash)] = hash
		}
	}
}

// find is the slot that has the hash, or else the one that it goes to. There is always a free one.
func (s *seen) find(hash uint64) uint64 {
	mask := uint64(len(s.slots) - 1)
	at := hash & mask
	for s.slots[at] != hash && s.slots[at] != 0 {
		at = (at + 1) & mask
	}
	return at
}
