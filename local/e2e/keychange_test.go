package e2e_test

import "testing"

// pairs has keys that look alike: the parts of a composite one, negative numbers, empty-looking text.
const pairs = `
CREATE TABLE single (id int PRIMARY KEY, v text NOT NULL);
CREATE TABLE pairs (a text, b int, v text NOT NULL, PRIMARY KEY (b, a));
INSERT INTO single SELECT n, 'row ' || n FROM generate_series(1, 40) n;
INSERT INTO pairs SELECT 'k' || n % 5, n, 'row ' || n FROM generate_series(1, 40) n;`

// handovers change keys in every way that an application can.
var handovers = []struct{ name, sql string }{
	{"to a free key", `UPDATE single SET id = 101 WHERE id = 1; UPDATE pairs SET a = 'free' WHERE b = 1; UPDATE pairs SET b = -b WHERE b = 2`},
	{"to a key freed in the same transaction", `BEGIN; DELETE FROM single WHERE id = 3; UPDATE single SET id = 3 WHERE id = 4;
		DELETE FROM pairs WHERE b = 3; UPDATE pairs SET (a, b) = (SELECT 'k3', 3) WHERE b = 4; COMMIT`},
	{"to a key that another row moved away from", `BEGIN; UPDATE single SET id = 105 WHERE id = 5; UPDATE single SET id = 5 WHERE id = 6;
		UPDATE pairs SET b = 105 WHERE b = 5; UPDATE pairs SET (a, b) = (SELECT 'k0', 5) WHERE b = 6; COMMIT`},
	{"swapped by two rows", `BEGIN; UPDATE single SET id = -1 WHERE id = 7; UPDATE single SET id = 7 WHERE id = 8; UPDATE single SET id = 8 WHERE id = -1;
		UPDATE pairs SET a = 'tmp' WHERE b = 7; UPDATE pairs SET (a, b) = (SELECT 'k2', 7) WHERE b = 8; UPDATE pairs SET (a, b) = (SELECT 'k3', 8) WHERE a = 'tmp'; COMMIT`},
	{"there and back", `BEGIN; UPDATE single SET id = 109, v = 'away' WHERE id = 9; UPDATE single SET id = 9, v = 'home' WHERE id = 109; COMMIT;
		UPDATE pairs SET b = 109 WHERE b = 9; UPDATE pairs SET b = 9 WHERE b = 109`},
	{"handed round by all", `BEGIN; UPDATE single SET id = id + 1000 WHERE id BETWEEN 20 AND 40; UPDATE single SET id = 20 + (id - 1020 + 1) % 21, v = v || '!' WHERE id BETWEEN 1020 AND 1040;
		UPDATE pairs SET b = b + 1000 WHERE b BETWEEN 20 AND 40; UPDATE pairs SET b = 20 + (b - 1020 + 1) % 21 WHERE b BETWEEN 1020 AND 1040; COMMIT`},
	{"given to a new row", `BEGIN; UPDATE single SET id = 111 WHERE id = 11; INSERT INTO single VALUES (11, 'new'); COMMIT;
		BEGIN; DELETE FROM pairs WHERE b = 12; INSERT INTO pairs VALUES ('k2', 12, 'new'); COMMIT`},
	{"rolled back", `BEGIN; UPDATE single SET id = 999 WHERE id = 13; SAVEPOINT s; UPDATE single SET id = 998 WHERE id = 14; ROLLBACK TO s; UPDATE single SET id = 13 WHERE id = 999; COMMIT`},
}

// Under each identity, and again while rows that were there before are on their way.
func TestKeyHandovers(t *testing.T) {
	t.Parallel()
	for _, identity := range []string{"DEFAULT", "FULL"} {
		t.Run(identity, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "single, pairs", pairs+"ALTER TABLE single REPLICA IDENTITY "+identity+"; ALTER TABLE pairs REPLICA IDENTITY "+identity)
			r.start()
			r.wantEqual(patience, "single", "pairs")
			for _, h := range handovers {
				r.exec(h.sql)
				r.wantEqual(patience, "single", "pairs")
				if t.Failed() {
					t.Fatal("after: ", h.name)
				}
			}
		})
	}
}

// The same statements in one go, with rows of a backfill between them: what a page read is older than some of them and newer than others.
func TestKeyHandoversDuringABackfill(t *testing.T) {
	t.Parallel()
	r := newRig(t, "single, pairs", pairs)
	r.exec("INSERT INTO single SELECT n, repeat('x', 200) FROM generate_series(10001, 40000) n")
	r.pollExtra["POLLER_BACKFILL_PAGE_BYTES"] = "20000"
	r.start()
	for _, h := range handovers {
		r.exec(h.sql)
		r.exec("UPDATE single SET id = id + 100000 WHERE id IN (SELECT id FROM single WHERE id BETWEEN 10001 AND 40000 ORDER BY random() LIMIT 30)")
		r.exec("BEGIN; UPDATE single SET id = -id WHERE id IN (SELECT id FROM single WHERE id BETWEEN 10001 AND 40000 ORDER BY random() LIMIT 30); UPDATE single SET id = 1000000 - id WHERE id < -10000; COMMIT")
	}
	r.wantBackfilled("public.single", "public.pairs")
	r.wantEqual(patience, "single", "pairs")
}

// The poller dies between the transactions, and on the way of one.
func TestKeyHandoversWithThePollerKilled(t *testing.T) {
	t.Parallel()
	r := newRig(t, "single, pairs", pairs)
	r.start()
	r.wantEqual(patience, "single", "pairs")
	for _, h := range handovers {
		eventually(t, patience, func() error { // it streams
			if r.walsender() == "" {
				return errNotYet
			}
			return nil
		})
		r.exec(h.sql)
		r.kill(r.poller)
		r.launchPoller()
	}
	r.wantEqual(patience, "single", "pairs")
}
