package e2e_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"freshet/local/e2e"
	"freshet/local/race"
)

// archive has large values of every type that may be left out of an update, stored as they are so that they stay large. of tells which
// version of the row they were written by.
const archive = `
CREATE TABLE archive (id int PRIMARY KEY, seen int NOT NULL DEFAULT 0, body text, doc jsonb, bin bytea, of int NOT NULL DEFAULT 0);
ALTER TABLE archive ALTER body SET STORAGE EXTERNAL, ALTER doc SET STORAGE EXTERNAL, ALTER bin SET STORAGE EXTERNAL;`

// shelve inserts rows with values of about so many bytes each.
func (r *rig) shelve(from, to, bytes int) {
	r.Helper()
	r.exec(`INSERT INTO archive SELECT n, 0, rpad('0|' || n, $3, 'é"\'), jsonb_build_object('n', n, 'text', repeat('x', $3)), decode(repeat('00ff', $3 / 2), 'hex')
		FROM generate_series($1::int, $2::int) n`, from, to, bytes)
}

func TestToastStaysWhole(t *testing.T) {
	t.Parallel()
	r := newRig(t, "archive", archive)
	r.shelve(1, 3, 1<<20)
	r.shelve(4, 30, 20_000)
	r.start()
	r.wantEqual(patience, "archive")
	for _, sql := range []string{
		`UPDATE archive SET seen = seen + 1`,
		`UPDATE archive SET body = NULL WHERE id = 4; UPDATE archive SET seen = 2 WHERE id = 4`,
		`UPDATE archive SET body = 'short' WHERE id = 5; UPDATE archive SET doc = '{}' WHERE id = 5; UPDATE archive SET seen = 3 WHERE id = 5`,
		`UPDATE archive SET id = -id WHERE id IN (1, 6, 7)`,                                                                                             // the key changed, and the values were left out
		`UPDATE archive SET seen = 4 WHERE id = 8; UPDATE archive SET id = 108 WHERE id = 8`,                                                            // changed right after
		`BEGIN; UPDATE archive SET seen = 5 WHERE id = 9; UPDATE archive SET id = 109 WHERE id = 9; COMMIT`,                                             // and in the same transaction
		`UPDATE archive SET seen = 6 WHERE id = 10; DELETE FROM archive WHERE id = 10`,                                                                  // deleted right after
		`BEGIN; UPDATE archive SET seen = 6 WHERE id = 11; DELETE FROM archive WHERE id = 11; COMMIT`,                                                   // and in the same transaction
		`UPDATE archive SET seen = 7 WHERE id = 12; DELETE FROM archive WHERE id = 12; INSERT INTO archive VALUES (12, 8, 'another')`,                   // and another took its key
		`BEGIN; UPDATE archive SET id = 113 WHERE id = 13; UPDATE archive SET id = 13 WHERE id = 14; UPDATE archive SET id = 14 WHERE id = 113; COMMIT`, // swapped
		`UPDATE archive SET seen = 9 WHERE id = 15; UPDATE archive SET body = repeat('y', 30000), of = 1 WHERE id = 15`,
		`UPDATE archive SET seen = 10; TRUNCATE archive; INSERT INTO archive VALUES (1, 11, 'after')`,
	} {
		r.exec(sql)
		r.wantEqual(patience, "archive")
		if t.Failed() {
			t.Fatal("after: ", sql)
		}
	}
}

// Updates that leave the values out, and others right after that change them: no value that is seen meanwhile mixes two versions or goes back.
func TestToastIsNeverAMixture(t *testing.T) {
	t.Parallel()
	r := newRig(t, "archive", archive)
	const rows = 10
	r.shelve(1, rows, 5000)
	r.start()
	r.wantEqual(patience, "archive")
	var keys []string
	for id := 1; id <= rows; id++ {
		keys = append(keys, fmt.Sprintf("sequin:archive:%d", id))
	}
	forward := r.watch(&e2e.Watcher{Redis: r.redis, Keys: keys, Column: "seen"})
	whole := r.watchValues(keys, func(key, value string) error {
		body := gjson.Get(value, "body").String()
		version, _, _ := strings.Cut(body, "|")
		if of := gjson.Get(value, "of").Raw; version != of || len(body) < 5000 {
			return fmt.Errorf("%s has the body of version %s, %d bytes long, in a row of version %s", key, version, len(body), of)
		}
		return nil
	})
	for n := 1; n <= 60; n++ {
		r.exec("UPDATE archive SET seen = seen + 1")
		if n%3 == 0 {
			r.exec("UPDATE archive SET seen = seen + 1, of = $1::int, body = rpad($1::int || '|', 5000, 'z') WHERE id % 3 = $1::int / 3 % 3", n)
		}
	}
	r.wantEqual(patience, "archive")
	whole()
	forward.wantForward(rows)
}

// The poller dies after it was told of the updates and before the rows were read again and settled.
func TestToastWithThePollerKilledBetween(t *testing.T) {
	t.Parallel()
	r := newRig(t, "archive", archive)
	r.pollExtra["POLLER_REPLAY_WINDOW"] = "0s" // what is confirmed does not come again
	r.shelve(1, 40, 10_000)
	r.start()
	r.wantEqual(patience, "archive")
	for round := range 3 {
		if err := r.fn.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		r.exec("UPDATE archive SET seen = seen + 1")
		r.exec("UPDATE archive SET id = id + 1000 WHERE id = $1", round+1)
		eventually(t, patience, func() error {
			if got := r.metric("freshet_rows_refetched_total"); got < 40 {
				return fmt.Errorf("%g rows were asked for again", got)
			}
			return nil
		})
		r.kill(r.poller)
		if err := r.fn.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		r.launchPoller()
		r.wantEqual(patience, "archive")
	}
}

// Rows with large values that are asked for again in great number must not fill the poller's memory.
func TestToastInGreatNumberKeepsMemorySmall(t *testing.T) {
	if race.Enabled || !soaking {
		t.Skip("memory is measured without the race detector, with FRESHET_SOAK=1")
	}
	r := newRig(t, "archive", archive)
	r.shelve(1, 150, 500_000)
	r.pollExtra["POLLER_BACKFILL"] = "off"
	r.start()
	r.exec("UPDATE archive SET seen = seen + 1")
	r.wantEqual(2*time.Minute, "archive")
	if most := r.metric("process_resident_memory_bytes"); most > 200<<20 {
		t.Errorf("the poller holds %.0f MB", most/(1<<20))
	}
}
