package e2e_test

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/tidwall/gjson"

	"freshet/local/e2e"
)

// One transaction changes every row ten times: a million changes in all where there is time, else less. The poller is killed in the middle of it, twice: Postgres
// sends it again from its beginning, and no key may be seen to go back to what it was earlier in the transaction.
func TestPollerKilledWithinALargeTransaction(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	t.Parallel()
	rows, rounds := 30_000, 10
	if soaking {
		rows = 100_000
	}
	r := newRig(t, "versions", "CREATE TABLE versions (id int PRIMARY KEY, v bigint NOT NULL, note text NOT NULL)")
	r.exec("INSERT INTO versions SELECT n, 0, repeat('x', 100) FROM generate_series(1, $1) n", rows)
	r.startLean()
	r.wantBackfilled("public.versions")
	r.wantEqual(patience, "versions")
	watch := r.watch(&e2e.Watcher{Redis: r.redis, Keys: someKeys(rows), Column: "v"})

	r.exec(fmt.Sprintf("DO $$ BEGIN FOR round IN 1..%d LOOP UPDATE versions SET v = v + 1; END LOOP; END $$", rounds))
	for _, round := range []int{3, 6} {
		r.wantVersion(rows/2, round)
		r.wantLittleMemory(r.poller)
		r.kill(r.poller)
		if v := r.version(rows / 2); v >= rounds {
			t.Fatalf("the transaction was over when the poller was killed: version %d", v)
		}
		r.launchLeanPoller()
	}
	r.wantVersion(rows/2, rounds)
	v := r.wantEqual(2*patience, "versions")
	if v.Rows != rows {
		t.Errorf("the judge looked at %d rows, want %d", v.Rows, rows)
	}
	r.wantLittleMemory(r.poller)
	r.wantLittleMemory(r.fn)
	if r.counted("freshet_messages_skipped_total") == 0 {
		t.Error("nothing was skipped: the transaction did not come again")
	}
	watch.looks()
	watch.wantForward(rounds)
}

// someKeys are 200 of the table's keys, from all over it.
func someKeys(rows int) (keys []string) {
	for id := 1; id <= rows; id += rows / 200 {
		keys = append(keys, "sequin:versions:"+strconv.Itoa(id))
	}
	return keys
}

// version is what Redis has of a row.
func (r *rig) version(id int) int {
	r.Helper()
	value, _ := r.get("sequin:versions:" + strconv.Itoa(id))
	return int(gjson.Get(value, "v").Int())
}

// wantVersion waits until Redis has this much of a row.
func (r *rig) wantVersion(id, version int) {
	r.Helper()
	eventually(r.T, 2*patience, func() error {
		if v := r.version(id); v < version {
			return fmt.Errorf("row %d has version %d, want %d", id, v, version)
		}
		return nil
	})
}
