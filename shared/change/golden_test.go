package change_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"freshet/shared/change"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares the bytes on the wire with a file, which ends with a newline more.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name+".json")
	if *update {
		if err := os.WriteFile(path, append(bytes.Clone(got), '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(got) {
		t.Errorf("%s is not JSON: %s", name, got)
	}
	if diff := cmp.Diff(string(want), string(got)+"\n"); diff != "" {
		t.Errorf("%s differs from the specification (-file +code):\n%s", path, diff)
	}
}

// sample is a message with what goes into it.
type sample struct {
	name            string
	action          change.Action
	record, changes string
	table           change.Table
	key             []string
	ordinal         uint32
}

var (
	products = change.Table{Schema: "public", Name: "products"}
	odd      = change.Table{Schema: "My Shop", Name: `a"b\c` + "\t😀"}
	mug      = `{"id":42,"name":"Mug \"large\"","price":9.90,"at":"2026-01-01T10:00:00+00:00"}`
	samples  = []sample{
		{"insert", change.Insert, mug, "null", products, []string{"id"}, 1},
		{"update", change.Update, mug, "null", products, []string{"id"}, 2},
		{"update_full", change.Update, mug, `{"price":8.50}`, products, []string{"id"}, 3},
		{"delete", change.Delete, `{"order_id":7,"line":1}`, "null", odd, []string{"order_id", "line"}, 4},
		{"read", change.Read, `{"id":12345678901234567890.10,"j":{"a" : 1e400}}`, "null", products, []string{"id"}, 5},
		{"truncate", change.Truncate, "null", "null", products, []string{"id"}, 4294967295},
	}
	at = time.Date(2026, 1, 1, 11, 0, 0, 123_456_789, time.FixedZone("", 3600))
)

func (s sample) append(dst []byte) []byte {
	var tx change.Transaction
	tx.Begin(771, 0x16B374D848, at)
	dst = append(change.AppendOpen(dst, s.action), s.record...)
	dst = append(change.AppendChanges(dst), s.changes...)
	return change.NewFrame(s.table, s.key).AppendClose(dst, &tx, s.ordinal)
}

// message is what a reader should get.
func (s sample) message() change.Message {
	m := change.Message{Action: s.action, Record: s.record, Changes: s.changes, Metadata: change.Metadata{
		Schema: s.table.Schema, Table: s.table.Name, CommitTimestamp: "2026-01-01T10:00:00.123456Z",
		Position: change.Position{Commit: 0x16B374D848, Ordinal: s.ordinal}, PrimaryKey: s.key, TransactionID: 771,
	}}
	if m.Record == "null" {
		m.Record = ""
	}
	if m.Changes == "null" {
		m.Changes = ""
	}
	return m
}

var batches = map[string]change.Batch{
	"batch": {
		ID:     "9b1c/3/42",
		Source: change.Source{System: "7421000000000000000", Timeline: 1, Database: "shop", Slot: "freshet"},
		Fence: &change.Fence{
			Sink: "freshet", Session: "9b1c", Lane: 3, Seq: 42, After: []uint64{7, 0, 0, 41},
			Through: change.Position{Commit: 0x16B374D848, Ordinal: 31}, Seal: 0x16B3000,
			Backfills: map[string]change.Backfill{"public.products": {State: change.BackfillRunning, Cursor: []string{"42", "a b"}, Rows: 1000}},
		},
	},
	"heartbeat": {
		ID:     "9b1c/0/7",
		Source: change.Source{System: "7421000000000000000", Timeline: 2, Database: "shop", Slot: "freshet"},
		Fence:  &change.Fence{Sink: "freshet", Session: "9b1c", Seq: 7, After: []uint64{6}, Seal: 0xFFFFFFFF00000000},
	},
	"unfenced": {ID: "by hand"},
}

func TestMessages(t *testing.T) {
	for _, s := range samples {
		golden(t, s.name, s.append(nil))
	}
}

// TestBatches writes each batch as the poller does, with all samples in it or none, and reads it as the function does.
func TestBatches(t *testing.T) {
	for name, batch := range batches {
		body, err := batch.AppendHead(nil)
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range samples {
			if name == "heartbeat" {
				break
			}
			if i > 0 {
				body = append(body, ',')
			}
			body = s.append(body)
			batch.Messages = append(batch.Messages, s.message())
		}
		body = change.AppendEnd(body)
		golden(t, name, body)
		got, err := change.ParseBatch(body)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if len(got.Messages) == 0 {
			got.Messages = nil
		}
		if diff := cmp.Diff(batch, got, cmpopts.IgnoreUnexported(change.Message{})); diff != "" {
			t.Errorf("%s was read differently (-written +read):\n%s", name, diff)
		}
	}
}

// What a message leaves out is what the one before it says.
func TestShortMessages(t *testing.T) {
	batch := change.Batch{ID: "by hand"}
	body, err := batch.AppendHead(nil)
	if err != nil {
		t.Fatal(err)
	}
	var like change.Like
	var tx change.Transaction
	frames := map[change.Table]*change.Frame{products: change.NewFrame(products, []string{"id"}), odd: change.NewFrame(odd, []string{"order_id", "line"})}
	for i, s := range []sample{
		{action: change.Insert, record: mug, table: products},
		{action: change.Insert, record: mug, table: products},
		{action: change.Update, record: mug, changes: `{"price":8.50}`, table: products},
		{action: change.Update, record: mug, table: products},
		{action: change.Delete, record: `{"order_id":7,"line":1}`, table: odd},
		{action: change.Delete, record: `{"order_id":7,"line":2}`, table: odd},
	} {
		if i == 0 || i == 5 {
			tx.Begin(uint32(771+i), 0x16B374D848+change.LSN(i), at)
		}
		if i > 0 {
			body = append(body, ',')
		}
		form, frame := like.Next(s.action, frames[s.table], &tx), frames[s.table]
		body = append(form.AppendOpen(body, s.action), s.record...)
		if s.changes != "" {
			body = append(change.AppendChanges(body), s.changes...)
		} else {
			body = form.NoChanges(body)
		}
		body = form.AppendClose(body, frame, &tx, uint32(i))
		m := s.message()
		m.Metadata.Position, m.Metadata.TransactionID, m.Metadata.PrimaryKey = change.Position{Commit: tx.Commit, Ordinal: uint32(i)}, tx.ID, []string{"id"}
		if s.table == odd {
			m.Metadata.PrimaryKey = []string{"order_id", "line"}
		}
		batch.Messages = append(batch.Messages, m)
	}
	golden(t, "short", change.AppendEnd(body))
	got, err := change.ParseBatch(change.AppendEnd(body))
	if diff := cmp.Diff(batch, got, cmpopts.IgnoreUnexported(change.Message{})); diff != "" || err != nil {
		t.Errorf("it was read differently (-written +read): %v\n%s", err, diff)
	}
}

// roomy is text with room for so many bytes behind it, which are not clean.
func roomy(text string, room int) []byte {
	b := append([]byte(text), bytes.Repeat([]byte{'"'}, room)...)
	return b[: len(text) : len(text)+room]
}

func TestAppendString_EscapesAsPostgresDoes(t *testing.T) {
	for text, want := range map[string]string{
		"":                       `""`,
		"plain":                  `"plain"`,
		"\"\\/\b\f\n\r\t":        `"\"\\/\b\f\n\r\t"`,
		"\x01\x0b\x1f\x7f":       `"\u0001\u000b\u001f` + "\x7f\"",
		"😀 ünï <>&\u2028'":       `"😀 ünï <>&` + "\u2028'\"",
		"quote at the end\"":     `"quote at the end\""`,
		"\nbetween\nthe\nlines ": `"\nbetween\nthe\nlines "`,
	} {
		for _, room := range []int{0, len(text) + 1, len(text) + 2, 100} {
			if got := change.AppendString(roomy("x", room), []byte(text)); string(got) != "x"+want {
				t.Errorf("%q, with room for %d bytes: got %s, want %s", text, room, got, want)
			}
		}
	}
}

// Most bytes are looked at eight at a time; each is spelled as it is alone.
func TestAppendString_SpellsAByteTheSameAnywhere(t *testing.T) {
	alone := func(c byte) string {
		text := change.AppendString(nil, []byte{c})
		return string(text[1 : len(text)-1])
	}
	for _, filler := range []byte("a!\x1f\"\\\xff") {
		for c := range 256 {
			for at := range 19 {
				text, want := bytes.Repeat([]byte{filler}, 19), `"`
				text[at] = byte(c)
				for _, b := range text {
					want += alone(b)
				}
				for _, room := range []int{0, 200} {
					if got := string(change.AppendString(roomy("", room), text)); got != want+`"` {
						t.Fatalf("%q, with room for %d bytes: got %s, want %s", text, room, got, want)
					}
				}
			}
		}
	}
}

// What is a number is so by package json's word; it is written as it stands, and nothing else is.
func TestAppendNumber(t *testing.T) {
	numbers := 0
	check := func(text string) {
		want := text != "" && (text[0] == '-' || text[0] >= '0' && text[0] <= '9') && text[len(text)-1] > ' ' && json.Valid([]byte(text))
		if want {
			numbers++
		}
		for _, room := range []int{0, 7, 8, 40} {
			got, ok := change.AppendNumber(roomy("x", room), []byte(text))
			if ok != want || ok && string(got) != "x"+text || !ok && string(got) != "x" {
				t.Errorf("%q, with room for %d bytes: got %q, %v", text, room, got, ok)
			}
		}
	}
	const letters = "-09.e+ \x8a"
	var all func(text string, more int)
	all = func(text string, more int) {
		check(text)
		for i := 0; more > 0 && i < len(letters); i++ {
			all(text+letters[i:i+1], more-1)
		}
	}
	all("", 5)
	for _, odd := range []string{"", "-", ".", "0", "e", "+", " ", "/", ":", "\x00", "\xff", "5"} {
		for digits := range 22 {
			for at := range digits + 1 {
				check(strings.Repeat("7", at) + odd + strings.Repeat("3", digits-at))
			}
		}
	}
	if numbers < 1000 {
		t.Errorf("only %d numbers", numbers)
	}
}

func TestAppendTimestamp(t *testing.T) {
	zones := []*time.Location{time.UTC, time.FixedZone("", -5*3600-1800)}
	for i, ns := range []int64{0, 1, 999, 1000, 123_456_789, 999_999_999, 100_000_000, 10_000} {
		for _, year := range []int{1, 999, 1969, 1970, 2000, 2026, 9999, 10_000, 294_276} {
			at := time.Date(year, time.Month(1+i), 28, 23, 59, 59-i, int(ns), zones[i%2])
			if got, want := string(change.AppendTimestamp([]byte("x"), at)), "x"+at.UTC().Format("2006-01-02T15:04:05.000000Z"); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
	}
}

func TestMessage_AllocatesNothing(t *testing.T) {
	var tx change.Transaction
	tx.Begin(771, 0x16B374D848, at)
	frame, dst := change.NewFrame(products, []string{"id"}), make([]byte, 0, 1024)
	n := testing.AllocsPerRun(100, func() {
		tx.Begin(772, 0x16B374D948, at)
		out := append(change.AppendOpen(dst, change.Insert), mug...)
		out = append(change.AppendChanges(out), "null"...)
		frame.AppendClose(out, &tx, 1)
	})
	if n != 0 {
		t.Errorf("got %v allocations, want none", n)
	}
}

// What stands around a record is the same whether it is prepared or not.
func TestAround_IsTheSameAsItsParts(t *testing.T) {
	var tx change.Transaction
	var around change.Around
	for i, table := range []change.Table{products, {Schema: `odd "schema"`, Name: "t"}} {
		frame := change.NewFrame(table, []string{"id", "b"}[:i+1])
		for _, action := range []change.Action{change.Read, change.Update, change.Delete} {
			tx.Begin(uint32(771+i*1_000_000), 0x16B374D848, at)
			frame.Around(&around, change.Form{}, action, &tx)
			for _, ordinal := range []uint32{0, 1, 0xFFFFFFFF} {
				want := append(change.AppendOpen([]byte("before,"), action), mug...)
				want = frame.AppendClose(append(change.AppendChanges(want), "null"...), &tx, ordinal)
				if got := around.Append([]byte("before,"), []byte(mug), ordinal); string(got) != string(want) {
					t.Errorf("got  %s\nwant %s", got, want)
				}
			}
		}
	}
}
