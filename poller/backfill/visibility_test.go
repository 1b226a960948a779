package backfill_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"freshet/poller/backfill"
)

func snapshot(t testing.TB, text string) backfill.Snapshot {
	t.Helper()
	s, err := backfill.ParseSnapshot(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestParseSnapshot_RefusesWhatIsNone(t *testing.T) {
	for _, text := range []string{"", "1", "1:2", "1:2:3:4", "a:2:", "1:b:", "1:2:c", "1:2:3,", "-1:2:", "1:2:,", " 1:2:", "1:99999999999999999999:"} {
		if _, err := backfill.ParseSnapshot(text); err == nil {
			t.Errorf("%q was read as a snapshot", text)
		} else if !strings.Contains(err.Error(), strconv.Quote(text)) {
			t.Errorf("%q: the error does not quote it: %v", text, err)
		}
	}
}

func TestSnapshot_Sees(t *testing.T) {
	const epoch = 1 << 32
	at := func(xmin, xmax uint64, running ...uint64) string {
		texts := make([]string, len(running))
		for i, x := range running {
			texts[i] = strconv.FormatUint(x, 10)
		}
		return fmt.Sprintf("%d:%d:%s", xmin, xmax, strings.Join(texts, ","))
	}
	for _, c := range []struct {
		name, snapshot string
		sees, not      []uint32
	}{
		{"nothing runs", "800:800:", []uint32{799, 3}, []uint32{800, 801, 1 << 30}},
		{"some run", "795:800:795,798", []uint32{794, 796, 797, 799}, []uint32{795, 798, 800, 900}},
		{"listed in any order", "795:800:798,795", []uint32{796}, []uint32{795, 798}},
		{"one runs for long", "10:800:10", []uint32{9, 11, 799}, []uint32{10, 800}},
		{"just before the wrap", at(epoch-5, epoch-2, epoch-5), []uint32{1<<32 - 6, 1<<32 - 4, 1 << 31}, []uint32{1<<32 - 5, 1<<32 - 2, 1<<32 - 1, 3, 100}},
		{"across the wrap", at(epoch-5, epoch+10, epoch-5, epoch+4), []uint32{1<<32 - 6, 1<<32 - 1, 3, 5, 9}, []uint32{1<<32 - 5, 4, 10, 1000}},
		{"just after the wrap", at(epoch+3, epoch+3), []uint32{1<<32 - 1, 1<<32 - 100}, []uint32{3, 4, 1 << 30}},
		{"many epochs on", at(7*epoch+100, 7*epoch+200, 7*epoch+150), []uint32{99, 149, 199, 1<<32 - 1}, []uint32{150, 200, 201}},
	} {
		s := snapshot(t, c.snapshot)
		for _, xid := range c.sees {
			if !s.Sees(xid) {
				t.Errorf("%s: %s does not see %d", c.name, c.snapshot, xid)
			}
		}
		for _, xid := range c.not {
			if s.Sees(xid) {
				t.Errorf("%s: %s sees %d", c.name, c.snapshot, xid)
			}
		}
	}
}

// A model with 64-bit ids, of which the stream shows the lower half.
func TestSnapshot_SeesWhatTheModelSees(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const near = 1 << 30
		xmax := rapid.OneOf(rapid.Uint64Range(3, 1<<40), rapid.Custom(func(t *rapid.T) uint64 {
			return uint64(rapid.IntRange(1, 9).Draw(t, "epoch"))<<32 + uint64(rapid.IntRange(-50, 50).Draw(t, "beside the wrap")+64) - 64
		})).Draw(t, "xmax")
		running := map[uint64]bool{}
		var list []string
		xmin := xmax
		for range rapid.IntRange(0, 8).Draw(t, "running") {
			x := xmax - 1 - uint64(rapid.IntRange(0, 40).Draw(t, "age"))
			if x == 0 || x > xmax || running[x] {
				continue
			}
			running[x] = true
			xmin = min(xmin, x)
			list = append(list, strconv.FormatUint(x, 10))
		}
		s, err := backfill.ParseSnapshot(fmt.Sprintf("%d:%d:%s", xmin, xmax, strings.Join(list, ",")))
		if err != nil {
			t.Fatal(err)
		}
		for range 50 {
			distance := rapid.OneOf(rapid.Int64Range(-60, 60), rapid.Int64Range(-near, near)).Draw(t, "distance")
			x := int64(xmax) + distance
			if x < 3 {
				continue // no transaction has such an id
			}
			want := uint64(x) < xmax && !running[uint64(x)]
			if got := s.Sees(uint32(x)); got != want {
				t.Fatalf("snapshot %d:%d:%v sees %d: %v, want %v", xmin, xmax, list, x, got, want)
			}
		}
	})
}

const (
	products = 11 // seeds
	orders   = 22
)

func wantTouched(t *testing.T, r *backfill.Recent, snap string, seed uint64, key string, want bool) {
	t.Helper()
	if got := r.Unseen(snapshot(t, snap)).Touched(seed, []byte(key)); got != want {
		t.Errorf("key %s for snapshot %s: touched is %v, want %v", key, snap, got, want)
	}
}

func TestRecent_RemembersWhatASnapshotMayMiss(t *testing.T) {
	r := backfill.NewRecent(snapshot(t, "95:100:97"))
	for xid, key := range map[uint32]string{97: "running", 99: "seen", 100: "later", 105: "last"} {
		r.Begin(xid, 0)
		r.Touch([]byte(key))
	}
	wantTouched(t, r, "95:100:97", products, "running", true)
	wantTouched(t, r, "95:100:97", products, "later", true)
	wantTouched(t, r, "95:100:97", products, "seen", false) // by every snapshot to come, so not kept
	wantTouched(t, r, "95:100:97", products, "other", false)
	wantTouched(t, r, "105:105:", products, "running", false)
	wantTouched(t, r, "105:105:", products, "later", false)
	wantTouched(t, r, "105:105:", products, "last", true)
	wantTouched(t, r, "97:106:97", products, "running", true)
	wantTouched(t, r, "97:106:97", products, "last", false)
}

func TestRecent_OneKeyOfManyTransactions(t *testing.T) {
	r := backfill.NewRecent(snapshot(t, "100:100:"))
	for xid := uint32(100); xid < 103; xid++ {
		r.Begin(xid, 0)
		r.Touch([]byte("k"))
		r.Touch([]byte("k"))
	}
	wantTouched(t, r, "102:102:", products, "k", true) // 102 is not seen
	wantTouched(t, r, "103:103:", products, "k", false)
}

func TestRecent_ATruncateTouchesAllOfItsTable(t *testing.T) {
	r := backfill.NewRecent(snapshot(t, "100:100:"))
	r.Begin(101, 0)
	r.Truncate(products)
	wantTouched(t, r, "100:101:", products, "any", true)
	wantTouched(t, r, "100:101:", orders, "any", false)
	wantTouched(t, r, "102:102:", products, "any", false)
}

func TestRecent_Forgets(t *testing.T) {
	r := backfill.NewRecent(snapshot(t, "100:100:"))
	if !r.Empty() {
		t.Error("it is not empty at first")
	}
	r.Begin(101, 0)
	r.Touch([]byte("old"))
	r.Begin(103, 0)
	r.Touch([]byte("open"))
	r.Forget(snapshot(t, "102:102:"))
	wantTouched(t, r, "100:100:", products, "old", false)
	wantTouched(t, r, "102:102:", products, "open", true)
	r.Begin(101, 0) // what the horizon sees needs no remembering any more
	r.Touch([]byte("again"))
	wantTouched(t, r, "100:100:", products, "again", false)
	r.Begin(110, 0)
	r.Forget(snapshot(t, "120:120:"))
	r.Begin(111, 0)
	r.Touch([]byte("seen"))
	r.Forget(snapshot(t, "120:120:"))
	if !r.Empty() {
		t.Error("something is remembered that every snapshot sees")
	}
}

// A transaction may be far larger than memory. Once every snapshot to come sees it, its remaining keys need no remembering, although
// the stream is still in the middle of it.
func TestRecent_ForgetsAHugeTransactionWhileItStreams(t *testing.T) {
	r := backfill.NewRecent(snapshot(t, "100:100:"))
	r.Begin(101, 0)
	r.Touch([]byte("first"))
	r.Truncate(orders)
	r.Forget(snapshot(t, "102:102:"))
	r.Touch([]byte("second"))
	r.Truncate(products)
	if !r.Empty() {
		t.Error("keys of a transaction that everybody sees are still remembered")
	}
	wantTouched(t, r, "100:100:", orders, "second", false)
	r.Begin(103, 0)
	r.Touch([]byte("third"))
	wantTouched(t, r, "102:102:", orders, "third", true)
}
