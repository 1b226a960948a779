package intake_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"freshet/shared/change"
	"freshet/shared/exchange"
)

func TestReplay_SkipsWhatIsSealed(t *testing.T) {
	b := newBench(t, 4, exchange.OpenResponse{Sealed: 0x308})
	b.announce(0x200)
	b.feed(transaction(0x300, 1001, products.insert("1", "sealed", nil), products.update("2", "sealed", toast), products.updateFrom('K', cells{"3", nil, nil}, cells{"4", "sealed", nil}), truncate(products))...)
	b.wantSettled(0x308)
	b.feed(transaction(0x308, 1002, products.insert("1", "new", nil))...) // begins exactly where the seal is: not there yet
	b.wantSettled(0x308)
	b.deliver()
	b.wantSettled(0x310)
	b.wantSent(`insert products {"id":1,"name":"new","about":null}`)
	if asked := b.refetch.Take(1); len(asked) != 0 {
		t.Errorf("asked for %+v, which is sealed", asked)
	}
}

// A row that had to be read again is settled with its page, which comes later than the lane's next rows. So the lane's position says nothing
// about it.
func TestReplay_AsksAgainForARowThatWasNotSealed(t *testing.T) {
	far := change.Position{Commit: 0x900}
	b := newBench(t, 1, exchange.OpenResponse{Sealed: 0x200, Applied: []exchange.Applied{{Lanes: 1, Through: []change.Position{far}}}})
	b.announce(0x200)
	b.feed(transaction(0x300, 1001, products.updateFrom('K', cells{"1", nil, nil}, cells{"2", "Mug", toast}), products.insert("3", "Cup", nil))...)
	b.deliver()
	b.wantSent()
	b.wantSettled(0x208)
	asked := b.refetch.Take(10)
	if len(asked) != 1 || asked[0].Key[0] != "2" {
		t.Fatalf("asked for %+v, want row 2", asked)
	}
	asked[0].Settled()
	b.wantSettled(0x308)
}

func TestReplay_StopsComparingOnceItHasPassedEverything(t *testing.T) {
	through := change.Position{Commit: 0x300, Ordinal: 0}
	b := newBench(t, 1, exchange.OpenResponse{Applied: []exchange.Applied{{Lanes: 1, Through: []change.Position{through}}}})
	b.announce(0x200)
	b.feed(transaction(0x300, 1001, products.insert("1", "there", nil), products.insert("2", "new", nil), products.insert("3", "new", nil))...)
	b.deliver()
	b.wantSent(`insert products {"id":2,"name":"new","about":null}`, `insert products {"id":3,"name":"new","about":null}`)
}

func TestReplay_OlderGenerationsCountToo(t *testing.T) {
	done := change.Position{Commit: 0x300, Ordinal: 9}
	b := newBench(t, 2, exchange.OpenResponse{Applied: []exchange.Applied{
		{Lanes: 2, Through: []change.Position{{}, {}}},
		{Lanes: 3, Through: []change.Position{done, done, done}},
		{Lanes: 5, Through: []change.Position{done}}, // torn: not to be relied upon
	}})
	b.announce(0x200)
	b.feed(transaction(0x300, 1001, products.insert("1", "there", nil), products.insert("2", "there", nil))...)
	b.feed(transaction(0x400, 1002, products.insert("1", "new", nil))...)
	b.deliver()
	b.wantSent(`insert products {"id":1,"name":"new","about":null}`)
}

// history makes a stream of transactions over a few keys: rows of our tables and of others, changed keys, truncates.
func history(r *rand.Rand, transactions int) (stream [][]byte) {
	stream = transaction(0x200, 1000, products.seen(), full.seen(), foreign.seen())
	key := func() string { return strconv.Itoa(r.IntN(9) - 4) }
	value := 0
	next := func() string { value++; return strconv.Itoa(value) }
	for i := range transactions {
		at := change.LSN(0x300 + 0x10*i)
		var rows [][]byte
		for range 1 + r.IntN(7) {
			switch old, new := key(), key(); r.IntN(12) {
			case 0, 1, 2:
				rows = append(rows, products.insert(new, next(), nil))
			case 3, 4:
				rows = append(rows, products.update(new, next(), ""))
			case 5:
				rows = append(rows, products.updateFrom('K', cells{old, nil, nil}, cells{new, next(), nil}))
			case 6:
				rows = append(rows, products.delete('K', old, nil, nil))
			case 7, 8:
				rows = append(rows, full.updateFrom('O', cells{old, next(), "long"}, cells{new, next(), toast}))
			case 9:
				rows = append(rows, foreign.insert(new, next()))
			case 10:
				rows = append(rows, foreign.updateFrom('K', cells{old, nil}, cells{new, next()}))
			case 11:
				if r.IntN(4) == 0 {
					rows = append(rows, truncate(foreign, products, full))
				} else {
					rows = append(rows, foreign.delete('K', old, nil))
				}
			}
		}
		stream = append(stream, transaction(at, uint32(1001+i), rows...)...)
	}
	return stream
}

// replayed feeds a stream to a sink that is never down, and returns what it got, in the order of the stream.
func replayed(t *testing.T, stream [][]byte, lanes int, ours []string, opened exchange.OpenResponse) []sent {
	b := newBench(t, lanes, opened)
	b.ours = map[string]bool{}
	for _, name := range ours {
		b.ours[name] = true
	}
	b.delivering()
	b.feed(stream...)
	if err := b.lanes.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.wantLanes()
	return b.inOrder()
}

// A crash leaves each lane at a place of its own. Whatever the poller is then configured to, the stream that comes again brings just what
// was not there, with the same positions.
func TestReplay_BringsJustWhatWasNotThere(t *testing.T) {
	all := []string{"products", "full", "foreign"}
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		stream := history(r, 12)
		lanes, later := 1+r.IntN(5), 1+r.IntN(5)
		ours := all[:1+r.IntN(3)]
		first := replayed(t, stream, lanes, ours, exchange.OpenResponse{})

		// What a sink has after a crash: of each lane some messages, but no truncate without all before it.
		through := make([]change.Position, lanes)
		there := map[string]bool{}
		cut := make([]int, lanes)
		for i := range cut {
			cut[i] = r.IntN(len(first) + 1)
		}
		stopped := make([]bool, lanes)
		for i, s := range first {
			if s.Action == change.Truncate && slices.Contains(stopped, true) {
				break
			}
			if stopped[s.lane] = stopped[s.lane] || i >= cut[s.lane]; stopped[s.lane] {
				continue
			}
			through[s.lane] = s.Metadata.Position
			there[place(s)] = true
		}
		opened := exchange.OpenResponse{Applied: []exchange.Applied{{Lanes: later, Through: make([]change.Position, later)}, {Lanes: lanes, Through: through}}}
		now := all[r.IntN(3):] // the settings may have changed in between
		second := replayed(t, stream, later, now, opened)

		var got, want []string
		for _, s := range second {
			if slices.Contains(ours, s.Metadata.Table) {
				got = append(got, place(s))
			}
		}
		for _, s := range first {
			if !there[place(s)] && slices.Contains(now, s.Metadata.Table) {
				want = append(want, place(s))
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("seed %d: %v in %d lanes, then %v in %d:\ngot  %q\nwant %q", seed, ours, lanes, now, later, got, want)
		}
	}
}

func place(s sent) string { return fmt.Sprintf("%s %s", s.Metadata.Position, s) }

// Of all messages of a stream no two have the same position: a lane that has one is not thought to have the other.
func TestReplay_PositionsAreUnique(t *testing.T) {
	for _, ours := range [][]string{{"products"}, {"products", "full", "foreign"}} {
		seen := map[change.Position]sent{}
		for _, s := range replayed(t, history(rand.New(rand.NewPCG(7, 7)), 40), 3, ours, exchange.OpenResponse{}) {
			if before, taken := seen[s.Metadata.Position]; taken {
				t.Errorf("%s and %s are both at %s", before, s, s.Metadata.Position)
			}
			seen[s.Metadata.Position] = s
		}
	}
}
