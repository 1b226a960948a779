package backfill_test

import (
	"fmt"
	"testing"
)

// Timestamps are read in binary format, but for those of a key. What is written is what to_json says in any case.
func TestRunner_TimestampsAreWhatToJSONSays(t *testing.T) {
	s := newStage(t, `CREATE DOMAIN seen AS timestamptz; CREATE DOMAIN since AS seen;
		CREATE TABLE a (at timestamptz, day timestamp, v timestamptz, w timestamp, d since, list timestamptz[], n int, date date, PRIMARY KEY (day, at));
		CREATE TABLE plain (id int PRIMARY KEY, v timestamptz);
		INSERT INTO a SELECT t, t, t, t, t, ARRAY[t, NULL], 1, t FROM unnest(ARRAY['infinity', '-infinity', '4713-01-01 BC', '0001-12-31 23:59:59.999999 BC', '0001-01-01',
			'1969-12-31 23:59:59.5', '2000-02-29 12:00:00.000001', '9999-12-31 23:59:59.9', '10000-01-01', '294276-12-31 23:59:59.999999']::timestamptz[]) t;
		INSERT INTO a (at, day) VALUES ('2026-01-01', '2026-01-01');
		INSERT INTO plain SELECT n, timestamptz '2026-01-01' + n * interval '1234.567891 seconds' FROM generate_series(1, 3000) n`)
	for _, table := range []string{"a", "plain"} {
		s.run(pending(s.layout(table)))
		s.wantRows(table, s.rows())
		s.restart()
	}
}

// A column may get another type after its table's layout was made. Its rows come as their text then, as they come from the stream.
func TestRunner_AColumnHasGotAnotherType(t *testing.T) {
	for to, want := range map[string]string{
		"text":        `{"id":7,"v":"2026-01-02T03:04:05+00:00","w":null}`, // which can be read as the type of before
		"bigint":      `{"id":7,"v":"1767323045","w":null}`,                // whose eight bytes could be, too
		"timestamp":   `{"id":7,"v":"2026-01-02 03:04:05","w":null}`,
		"timestamptz": `{"id":7,"v":"2026-01-02T03:04:05+00:00","w":null}`,
	} {
		t.Run(to, func(t *testing.T) {
			s := newStage(t, `CREATE TABLE a (id int PRIMARY KEY, v timestamptz, w timestamp); INSERT INTO a VALUES (7, '2026-01-02 03:04:05+00')`)
			layout := s.layout("a")
			using := "v::" + to
			switch to {
			case "bigint":
				using = "extract(epoch FROM v)::bigint"
			case "text", "timestamp":
				using = "(v AT TIME ZONE 'UTC')::" + to
			}
			if to == "text" {
				using += " || '+00'"
			}
			s.Exec(fmt.Sprintf("ALTER TABLE a ALTER v TYPE %s USING %s", to, using))
			s.run(pending(layout))
			if got := s.rows(); len(got) != 1 || got[0] != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}
