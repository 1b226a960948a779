// Package backfill reads rows that were there before, exactly, while the stream runs.
//
// A page is one statement, and a snapshot that saw no more than the statement did: its own, or one taken just before it. A logical message then marks
// the page's place in the stream; when the stream comes to that mark, the page is sent. A row is left out if a transaction that the snapshot did not see,
// and that the stream has already brought, touched its key: the stream's word is newer, or the same. All that the page saw was committed before the mark, so
// the stream has brought it before the mark too; hence no row of a page is ever newer or older than the stream at that place.
//
// The same pages complete updates that left out an unchanged TOAST value: rows by key instead of rows in order.
package backfill

import (
	"fmt"
	"hash/maphash"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"freshet/shared/change"
)

// Snapshot says which transactions a statement saw.
// https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-SNAPSHOT
type Snapshot struct {
	xmin, xmax uint64
	running    []uint64 // ascending
}

// ParseSnapshot reads the text form of pg_snapshot, "795:799:795,798".
func ParseSnapshot(text string) (Snapshot, error) {
	parts := strings.Split(text, ":")
	if len(parts) != 3 {
		return Snapshot{}, fmt.Errorf("%q is not a snapshot such as 795:799:795,798", text)
	}
	var s Snapshot
	var err error
	if s.xmin, err = strconv.ParseUint(parts[0], 10, 64); err != nil {
		return Snapshot{}, fmt.Errorf("snapshot %q: %w", text, err)
	}
	if s.xmax, err = strconv.ParseUint(parts[1], 10, 64); err != nil {
		return Snapshot{}, fmt.Errorf("snapshot %q: %w", text, err)
	}
	if parts[2] == "" {
		return s, nil
	}
	for _, part := range strings.Split(parts[2], ",") {
		xid, err := strconv.ParseUint(part, 10, 64)
		if err != nil {
			return Snapshot{}, fmt.Errorf("snapshot %q: %w", text, err)
		}
		s.running = append(s.running, xid)
	}
	slices.Sort(s.running)
	return s, nil
}

// Sees says whether the snapshot saw the effects of a committed transaction. The stream has 32 bits of its id; the others
// are those that bring it nearest to the snapshot, as ids in use never lie 2^31 apart.
func (s Snapshot) Sees(xid uint32) bool {
	full := s.xmax + uint64(int64(int32(xid-uint32(s.xmax))))
	if full >= s.xmax {
		return false
	}
	if full < s.xmin {
		return true
	}
	_, running := slices.BinarySearch(s.running, full)
	return !running
}

// Recent remembers which keys were touched by transactions that a snapshot, present or future, may not see. Safe for concurrent use.
type Recent struct {
	mu      sync.Mutex
	hash    maphash.Seed // of this process alone, so that nobody can make up keys that collide
	horizon Snapshot     // every snapshot still to be taken sees what this one sees
	recent  []*touched
	current *touched // nil while the transaction needs no remembering
}

type touched struct {
	xid    uint32
	commit change.LSN
	over   atomic.Bool // needs no remembering any more, although the stream may still be in the middle of it
	keys   []uint64
	tables []uint64 // truncated, by seed
}

// NewRecent begins with a snapshot taken before the first page's.
func NewRecent(horizon Snapshot) *Recent {
	return &Recent{hash: maphash.MakeSeed(), horizon: horizon}
}

// Begin starts a transaction of the stream, whose commit record is at this LSN.
func (r *Recent) Begin(xid uint32, commit change.LSN) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.current = nil
	if !r.horizon.Sees(xid) {
		r.current = &touched{xid: xid, commit: commit}
		r.recent = append(r.recent, r.current)
	}
}

// Touch says that the transaction wrote or deleted the row of this key.
func (r *Recent) Touch(key []byte) {
	if r.current == nil || r.current.over.Load() { // current is set by this goroutine alone
		return
	}
	h := maphash.Bytes(r.hash, key)
	r.mu.Lock()
	r.current.keys = append(r.current.keys, h)
	r.mu.Unlock()
}

// Truncate says that the transaction emptied the table with this seed.
func (r *Recent) Truncate(seed uint64) {
	if r.current == nil || r.current.over.Load() {
		return
	}
	r.mu.Lock()
	r.current.tables = append(r.current.tables, seed)
	r.mu.Unlock()
}

// Forget drops the transactions that this snapshot sees, when no page in flight has an older one. That may be the one which
// is being streamed: it can be larger than memory.
func (r *Recent) Forget(horizon Snapshot) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.horizon = horizon
	r.recent = slices.DeleteFunc(r.recent, func(t *touched) bool {
		over := horizon.Sees(t.xid)
		if over {
			t.over.Store(true)
			t.keys, t.tables = nil, nil
		}
		return over
	})
}

// Hidden is the commit of the oldest transaction that a snapshot may not see although the stream has brought it; ok is false when there is
// none. Postgres must go on sending it: a page of the next life may miss it, and only the stream tells which rows it touched.
func (r *Recent) Hidden() (commit change.LSN, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.recent) == 0 {
		return 0, false
	}
	return r.recent[0].commit, true // in the order of their commits, as the stream is
}

// Empty says that nothing is remembered.
func (r *Recent) Empty() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.recent) == 0
}

// Unseen is what the stream has brought of transactions that a snapshot did not see.
type Unseen struct {
	hash   maphash.Seed
	keys   map[uint64]struct{}
	tables map[uint64]struct{}
}

// Unseen collects it for one page, but for some transactions.
func (r *Recent) Unseen(s Snapshot, but ...uint32) Unseen {
	r.mu.Lock()
	defer r.mu.Unlock()
	u := Unseen{hash: r.hash}
	for _, t := range r.recent {
		if s.Sees(t.xid) || slices.Contains(but, t.xid) {
			continue
		}
		if u.keys == nil {
			u.keys, u.tables = map[uint64]struct{}{}, map[uint64]struct{}{}
		}
		for _, k := range t.keys {
			u.keys[k] = struct{}{}
		}
		for _, table := range t.tables {
			u.tables[table] = struct{}{}
		}
	}
	return u
}

// Empty says that no row was touched.
func (u Unseen) Empty() bool { return len(u.tables) == 0 && len(u.keys) == 0 }

// Touched says whether the key's row, in the table with this seed, was touched.
func (u Unseen) Touched(seed uint64, key []byte) bool {
	if u.Empty() {
		return false
	}
	if _, all := u.tables[seed]; all {
		return true
	}
	_, one := u.keys[maphash.Bytes(u.hash, key)]
	return one
}

// Holds says whether the row, or another that would have its key in Redis, was touched.
func (u Unseen) Holds(seed uint64, r Row) bool {
	return u.Touched(seed, r.Key.Bytes) || slices.ContainsFunc(r.Also, func(key []byte) bool { return u.Touched(seed, key) })
}
