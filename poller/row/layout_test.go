package row_test

import (
	"fmt"
	"strings"
	"testing"

	"freshet/poller/pgoutput"
	"freshet/poller/render"
	"freshet/poller/row"
	"freshet/shared/change"
)

const (
	textOID    = 25
	int4OID    = 23
	numericOID = 1700
)

func layout(t *testing.T, table string, key ...string) *row.Layout {
	t.Helper()
	name, err := change.ParseTable(table)
	if err != nil {
		t.Fatal(err)
	}
	types := []*render.Type{render.Builtin(int4OID), render.Builtin(textOID), render.Builtin(numericOID)}
	l, err := row.New(name, []string{"id", "na\"me", "price"}, types, key, false)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func text(s string) pgoutput.Value { return pgoutput.Value{Kind: pgoutput.Text, Text: []byte(s)} }

var (
	null      = pgoutput.Value{Kind: pgoutput.Null}
	unchanged = pgoutput.Value{Kind: pgoutput.Unchanged}
)

func key(l *row.Layout, values ...string) row.Key {
	tuple := make(pgoutput.Tuple, len(values))
	for i, v := range values {
		tuple[i] = text(v)
	}
	return l.Key(nil, tuple)
}

// The lane of a key is part of what Redis remembers: these numbers may never change. Each is the XXH64 of the table's own XXH64,
// little-endian, and each part of the key behind its length in four bytes.
func TestKey_LaneNeverChanges(t *testing.T) {
	products := layout(t, "products", "id")
	pairs := layout(t, "shop.pairs", "id", "na\"me")
	for _, c := range []struct {
		name string
		got  uint64
		want uint64
	}{
		{"seed of public.products", products.Seed(), 0x2e0eb76455a2c180},
		{"products 1", key(products, "1", "", "").Lane, 0x959338e9d09efb67},
		{"products 42", key(products, "42", "x", "9.90").Lane, 0x704d3cc38980882},
		{"products -7", key(products, "-7", "", "").Lane, 0xbfb140f005c00991},
		{"products, an empty key", key(products, "", "", "").Lane, 0xdf626d955f9a2f62},
		{"seed of shop.pairs", pairs.Seed(), 0x9a3d055d4d8d59a6},
		{"pairs (1, ä)", key(pairs, "1", "ä", "").Lane, 0x25534da6d457a028},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %#x, want %#x", c.name, c.got, c.want)
		}
	}
}

func TestKey_TellsApartWhatReadsAlike(t *testing.T) {
	seen := map[string]string{}
	add := func(name string, k row.Key) {
		if before, taken := seen[string(k.Bytes)]; taken {
			t.Errorf("%s and %s have the same key", before, name)
		}
		seen[string(k.Bytes)] = name
	}
	for _, table := range []string{"pairs", "shop.pairs", `"pairs."`, `"public.pairs".x`, `public."pairs.x"`} {
		l := layout(t, table, "id", "na\"me")
		for _, parts := range [][2]string{{"a", "bc"}, {"ab", "c"}, {"abc", ""}, {"", "abc"}, {"a\x00\x00\x00\x00", "bc"}, {"a", "\x00bc"}, {"1", "2"}, {"2", "1"}, {"12", ""}, {"", ""}} {
			add(fmt.Sprintf("%s %q", table, parts), key(l, parts[0], parts[1], "5"))
		}
	}
}

func TestKey_IsOfThePrimaryKeyAloneInItsOrder(t *testing.T) {
	forward, backward := layout(t, "pairs", "id", "na\"me"), layout(t, "pairs", "na\"me", "id")
	a, b := key(forward, "1", "2", "3"), key(forward, "1", "2", "other")
	if a.Lane != b.Lane || string(a.Bytes) != string(b.Bytes) {
		t.Error("a column outside the primary key changes the key")
	}
	if c := key(backward, "2", "1", "3"); string(c.Bytes) != string(a.Bytes) {
		t.Error("the order of the columns in the table matters; that of the primary key should")
	}
	if got := strings.Join(backward.KeyTexts(pgoutput.Tuple{text("1"), text("2"), text("3")}), "|"); got != "2|1" {
		t.Errorf("KeyTexts gave %s, want 2|1", got)
	}
}

func TestKey_OverwritesItsBuffer(t *testing.T) {
	l := layout(t, "products", "id")
	long := key(l, strings.Repeat("9", 100), "", "")
	short := l.Key(long.Bytes, pgoutput.Tuple{text("1"), null, null})
	if want := key(l, "1", "", ""); string(short.Bytes) != string(want.Bytes) || short.Lane != want.Lane {
		t.Errorf("got %+v, want %+v", short, want)
	}
}

func TestKey_OneLane(t *testing.T) {
	name, _ := change.ParseTable("products")
	l, err := row.New(name, []string{"id"}, []*render.Type{render.Builtin(int4OID)}, []string{"id"}, true)
	if err != nil {
		t.Fatal(err)
	}
	a, b := key(l, "1"), key(l, "2")
	if a.Lane != b.Lane {
		t.Error("two rows of a table that is to stay in one lane have two")
	}
	if string(a.Bytes) == string(b.Bytes) {
		t.Error("two rows have the same key")
	}
}

func TestAppend(t *testing.T) {
	l := layout(t, "products", "id")
	for _, c := range []struct {
		name     string
		tuple    pgoutput.Tuple
		want     string
		unparsed int
	}{
		{"a row", pgoutput.Tuple{text("42"), text("a\"b\n"), text("9.90")}, `{"id":42,"na\"me":"a\"b\n","price":9.90}`, 0},
		{"nulls", pgoutput.Tuple{text("-1"), null, null}, `{"id":-1,"na\"me":null,"price":null}`, 0},
		{"empty text is no null", pgoutput.Tuple{text("1"), text(""), text("NaN")}, `{"id":1,"na\"me":"","price":"NaN"}`, 0},
		{"what cannot be read travels as text", pgoutput.Tuple{text("one"), text(""), text("1")}, `{"id":"one","na\"me":"","price":1}`, 1},
	} {
		got, unparsed := l.Append([]byte("x"), c.tuple)
		if string(got) != "x"+c.want || unparsed != c.unparsed {
			t.Errorf("%s: got %s and %d, want %s and %d", c.name, got[1:], unparsed, c.want, c.unparsed)
		}
	}
}

func TestAppendKey(t *testing.T) {
	tuple := pgoutput.Tuple{text("1"), text("a"), null}
	for _, c := range []struct {
		key  []string
		want string
	}{
		{[]string{"id"}, `{"id":1}`},
		{[]string{"na\"me"}, `{"na\"me":"a"}`},
		{[]string{"na\"me", "id"}, `{"id":1,"na\"me":"a"}`},
	} {
		if got := layout(t, "products", c.key...).AppendKey(nil, tuple); string(got) != c.want {
			t.Errorf("key %q: got %s, want %s", c.key, got, c.want)
		}
	}
}

func TestAppendChanges(t *testing.T) {
	l := layout(t, "products", "id")
	before := pgoutput.Tuple{text("1"), text("a"), text("1.0")}
	for _, c := range []struct {
		name          string
		before, after pgoutput.Tuple
		want          string
	}{
		{"nothing changed", before, before, `{}`},
		{"the first and the last", before, pgoutput.Tuple{text("2"), text("a"), text("1.00")}, `{"id":1,"price":1.0}`},
		{"to null", before, pgoutput.Tuple{text("1"), null, text("1.0")}, `{"na\"me":"a"}`},
		{"from null", pgoutput.Tuple{text("1"), null, text("1.0")}, before, `{"na\"me":null}`},
		{"from empty to null", pgoutput.Tuple{text("1"), text(""), null}, pgoutput.Tuple{text("1"), null, null}, `{"na\"me":""}`},
		{"unchanged TOAST", before, pgoutput.Tuple{text("1"), unchanged, text("2")}, `{"price":1.0}`},
	} {
		if got := l.AppendChanges(nil, c.before, c.after); string(got) != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

func TestSameKey(t *testing.T) {
	l := layout(t, "pairs", "id", "na\"me")
	a := pgoutput.Tuple{text("1"), text("a"), text("5")}
	if !l.SameKey(a, pgoutput.Tuple{text("1"), text("a"), null}) {
		t.Error("the same key, said to differ")
	}
	if l.SameKey(a, pgoutput.Tuple{text("1"), text("b"), text("5")}) || l.SameKey(a, pgoutput.Tuple{text("2"), text("a"), text("5")}) {
		t.Error("different keys, said to be the same")
	}
}

func TestNew_RefusesATableWithoutItsKey(t *testing.T) {
	name, _ := change.ParseTable("products")
	for _, key := range [][]string{nil, {"nope"}, {"id", "nope"}} {
		if _, err := row.New(name, []string{"id"}, []*render.Type{render.Builtin(int4OID)}, key, false); err == nil {
			t.Errorf("key %q was accepted", key)
		}
	}
}

// What is written does not depend on how much room there is, nor on how long a column's name is.
func TestLayout_AnyRoom(t *testing.T) {
	names := []string{"id", strings.Repeat("a", 27), strings.Repeat("b", 28), strings.Repeat("c", 29), strings.Repeat("d", 60), `q"`}
	types := make([]*render.Type, len(names))
	tuple := make(pgoutput.Tuple, len(names))
	want := "{"
	for i, name := range names {
		types[i], tuple[i] = render.Builtin(textOID), text(strings.Repeat("v", 5*i))
		want += fmt.Sprintf("%q:%q,", name, tuple[i].Text)
	}
	want = want[:len(want)-1] + "}"
	l, err := row.New(change.Table{Schema: "public", Name: "t"}, names, types, []string{"id"}, false)
	if err != nil {
		t.Fatal(err)
	}
	for room := range len(want) + 40 {
		if got, _ := l.Append(make([]byte, 0, room), tuple); string(got) != want {
			t.Fatalf("with room for %d bytes: got %s, want %s", room, got, want)
		}
		if got := l.AppendKey(make([]byte, 0, room), tuple); string(got) != `{"id":""}` {
			t.Fatalf("with room for %d bytes: got %s", room, got)
		}
	}
}
