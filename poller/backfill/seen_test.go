package backfill_test

import (
	"slices"
	"testing"

	"freshet/poller/backfill"
)

func TestSeen_KnowsTheKeysOfRows(t *testing.T) {
	s := newStage(t, `CREATE TABLE a (x text, id int, at timestamptz, PRIMARY KEY (id, x, at));
		INSERT INTO a SELECT x, n, '2026-01-01 10:00+00' FROM generate_series(1, 3) n, unnest(ARRAY['k', 'a-b', '"é"']) x`)
	l := s.layout("a")
	rows, err := backfill.Sample(t.Context(), s.connect().PgConn(), l, "", 100)
	if err != nil || len(rows) != 9 {
		t.Fatal(len(rows), err)
	}
	const at = "-2026-01-01T10:00:00+00:00"
	got := backfill.Unread(l, rows, "public.a", "1-k"+at, "4-k"+at, "3-a-b"+at, `2-"é"`+at, "1-K"+at, "1-k")
	if want := []string{"4-k" + at, "1-K" + at, "1-k"}; !slices.Equal(got, want) {
		t.Errorf("left %q, want %q", got, want)
	}
	if got := backfill.Unread(l, rows, "public.b", "1-k"+at); len(got) != 1 {
		t.Error("a key of another table is taken for one of this")
	}
	if got := backfill.Unread(l, nil, "public.a", "1-k"+at); len(got) != 1 {
		t.Error("a key is known before any row is read")
	}
}
