package change_test

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"testing"

	"freshet/shared/change"
)

func TestParseLSN(t *testing.T) {
	for text, want := range map[string]change.LSN{
		"0/0": 0, "16/B374D848": 0x16B374D848, "16/b374d848": 0x16B374D848, "FFFFFFFF/FFFFFFFF": math.MaxUint64, "00000016/0000000A": 0x160000000A,
	} {
		if got, err := change.ParseLSN(text); got != want || err != nil {
			t.Errorf("%s: got %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "/", "0", "0/", "/0", "0/0 ", " 0/0", "0/0/0", "0x1/0", "+1/0", "1_0/0", "G/0", "0/123456789", "123456789/0", "0-0"} {
		if got, err := change.ParseLSN(text); err == nil {
			t.Errorf("%q: got %v", text, got)
		}
	}
}

func TestParsePosition(t *testing.T) {
	for text, want := range map[string]change.Position{
		"0000000000000000-00000000": {},
		"00000016B374D848-0000001F": {Commit: 0x16B374D848, Ordinal: 31},
		"FFFFFFFFFFFFFFFF-FFFFFFFF": {Commit: math.MaxUint64, Ordinal: math.MaxUint32},
	} {
		got, err := change.ParsePosition(text)
		if got != want || err != nil || got.String() != text || len(text) != change.PositionLen {
			t.Errorf("%s: got %v, %v", text, got, err)
		}
	}
	for _, text := range []string{
		"", "0-0", "00000016B374D848_0000001F", "00000016B374D848-0000001G", "00000016B374D848-0000001F ", "+0000016B374D848-0000001F", "0000000000000000000000000",
	} {
		if got, err := change.ParsePosition(text); err == nil {
			t.Errorf("%q: got %v", text, got)
		}
	}
}

// Text order is stream order: that is what the sink's script compares.
func TestPosition_SortsAsText(t *testing.T) {
	ordered := []change.Position{
		{}, {Ordinal: 1}, {Commit: 9}, {Commit: 10}, {Commit: 10, Ordinal: 15}, {Commit: 10, Ordinal: 16}, {Commit: 0xFFFFFFFF, Ordinal: math.MaxUint32},
		{Commit: 0x100000000}, {Commit: math.MaxUint64, Ordinal: math.MaxUint32},
	}
	for i, p := range ordered {
		for j, q := range ordered {
			byText := slices.Compare([]byte(p.String()), []byte(q.String()))
			if p.Compare(q) != byText || (byText < 0) != (i < j) || (byText == 0) != (i == j) {
				t.Errorf("%v and %v: got %d, as text %d", p, q, p.Compare(q), byText)
			}
		}
	}
}

func TestPosition_TravelsInJSON(t *testing.T) {
	type pair struct {
		L change.LSN
		P change.Position
	}
	want := pair{0x16B374D848, change.Position{Commit: 1, Ordinal: 2}}
	text, err := json.Marshal(want)
	if err != nil || string(text) != `{"L":"16/B374D848","P":"0000000000000001-00000002"}` {
		t.Errorf("got %s, %v", text, err)
	}
	var got pair
	if err := json.Unmarshal(text, &got); got != want || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
	if err := json.Unmarshal([]byte(`{"L":"16"}`), &got); err == nil {
		t.Error("half an LSN was taken")
	}
}

func FuzzParseLSN(f *testing.F) {
	for _, text := range []string{"0/0", "16/B374D848", "ffffffff/ffffffff", "0/0/0"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		first, err := change.ParseLSN(text)
		if err != nil {
			return
		}
		if second, err := change.ParseLSN(first.String()); first != second || err != nil {
			t.Errorf("%q: got %v, then %v, %v", text, first, second, err)
		}
	})
}

func FuzzParsePosition(f *testing.F) {
	for _, text := range []string{"0000000000000000-00000000", "00000016B374D848-0000001f"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		first, err := change.ParsePosition(text)
		if err != nil {
			return
		}
		if second, err := change.ParsePosition(first.String()); first != second || err != nil {
			t.Errorf("%q: got %v, then %v, %v", text, first, second, err)
		}
	})
}

// The digits of an ordinal are read all at once: every byte at every place, beside others of each kind.
func TestParsePosition_AnyByteInTheOrdinal(t *testing.T) {
	const commit = "00000016B374D848-"
	for _, around := range []string{"00000000", "99999999", "AAAAAAAA", "FFFFFFFF", "ffffffff", "0123ABCD"} {
		for place := range around {
			for c := range 256 {
				text := commit + around[:place] + string([]byte{byte(c)}) + around[place+1:]
				got, err := change.ParsePosition(text)
				want, wrong := strconv.ParseUint(text[len(commit):], 16, 32)
				if (err == nil) != (wrong == nil) || err == nil && got != (change.Position{Commit: 0x16B374D848, Ordinal: uint32(want)}) {
					t.Errorf("%q: got %v, %v; want %X, %v", text, got, err, want, wrong)
				}
			}
		}
	}
}

// All digits are written at once; each is what it is alone, beside any other.
func TestPosition_AnyDigitsInTheOrdinal(t *testing.T) {
	for place := range 8 {
		for digit := range uint32(16) {
			for _, others := range []uint32{0, 0x99999999, 0xAAAAAAAA, 0xFFFFFFFF, 0x09AF5A90} {
				ordinal := others&^(15<<(4*place)) | digit<<(4*place)
				if got, want := (change.Position{Commit: 1, Ordinal: ordinal}).String(), fmt.Sprintf("%016X-%08X", 1, ordinal); got != want {
					t.Fatalf("got %s, want %s", got, want)
				}
			}
		}
	}
}
