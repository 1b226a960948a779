package e2e_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

const goodsAndPlain = `CREATE TABLE goods (id int PRIMARY KEY, price numeric NOT NULL, body text); ALTER TABLE goods REPLICA IDENTITY FULL; ALTER TABLE goods ALTER body SET STORAGE EXTERNAL;
	CREATE TABLE plain (id int PRIMARY KEY, body text, seen int NOT NULL DEFAULT 0); ALTER TABLE plain ALTER body SET STORAGE EXTERNAL;`

func TestOnlyRowsThatMatchAreMirrored(t *testing.T) {
	t.Parallel()
	r := newRig(t, "goods WHERE (price > 10), plain WHERE (id % 2 = 0 -- even\n)", goodsAndPlain)
	const matching = "SELECT 'sequin:goods:' || id, to_json(t)::text FROM goods t WHERE price > 10"
	const even = "SELECT 'sequin:plain:' || id, to_json(t)::text FROM plain t WHERE id % 2 = 0"
	r.exec("INSERT INTO goods SELECT n, n, repeat('b', 5000) FROM generate_series(1, 30) n; INSERT INTO plain SELECT n, repeat('p', 5000) FROM generate_series(1, 30) n")
	r.start()
	r.wantExactly(patience, matching, even) // the rows that were there before

	r.exec("INSERT INTO goods SELECT n, n - 90, 'new' FROM generate_series(91, 120) n")
	r.exec("UPDATE goods SET price = 5 WHERE id BETWEEN 20 AND 25")  // they leave
	r.exec("UPDATE goods SET price = 50 WHERE id BETWEEN 1 AND 5")   // they come, with a large value that is not sent
	r.exec("UPDATE goods SET id = id + 1000 WHERE id IN (3, 8, 28)") // to other keys
	r.exec("UPDATE plain SET seen = seen + 1")                       // rows that have to be read again
	r.exec("UPDATE plain SET id = id + 1 WHERE id = 30; UPDATE plain SET id = id + 101 WHERE id = 29")
	r.exec("DELETE FROM goods WHERE id IN (2, 30, 91)")
	r.exec("BEGIN; UPDATE goods SET price = 1; UPDATE goods SET price = id; COMMIT")
	r.exec("BEGIN; UPDATE plain SET seen = 9 WHERE id = 4; UPDATE plain SET id = 5555 WHERE id = 4; COMMIT")
	r.wantExactly(patience, matching, even)
	r.exec("TRUNCATE plain")
	r.wantExactly(patience, matching)
}

// Rows come and go while the backfill runs beside the stream.
func TestFilteredRowsThatMoveDuringABackfill(t *testing.T) {
	t.Parallel()
	r := newRig(t, "goods WHERE (price > 10)", goodsAndPlain)
	r.pollExtra["POLLER_BACKFILL_PAGE_BYTES"] = "2000"
	r.exec("INSERT INTO goods SELECT n, n % 20, 'x' FROM generate_series(1, 5000) n")
	conn := dial(t, world.postgres.Database(r.name))
	done := make(chan error, 1)
	ctx, stop := context.WithCancel(t.Context())
	go func() { done <- shuffle(ctx, conn) }()
	r.start()
	r.wantBackfilled("public.goods")
	time.Sleep(200 * time.Millisecond)
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	r.wantExactly(patience, "SELECT 'sequin:goods:' || id, to_json(t)::text FROM goods t WHERE price > 10")
}

// shuffle has rows enter and leave the filter until the context ends.
func shuffle(ctx context.Context, conn *pgx.Conn) error {
	for i := 0; ctx.Err() == nil; i++ {
		if _, err := conn.Exec(context.WithoutCancel(ctx), "UPDATE goods SET price = (price + 7)::int % 20 WHERE id % 50 = $1", i%50); err != nil {
			return err
		}
	}
	return nil
}

func TestAnotherFilterIsFollowed(t *testing.T) {
	t.Parallel()
	r := newRig(t, "goods WHERE (price > 20)", goodsAndPlain)
	r.exec("INSERT INTO goods SELECT n, n, 'x' FROM generate_series(1, 30) n")
	r.start()
	r.wantExactly(patience, "SELECT 'sequin:goods:' || id, to_json(t)::text FROM goods t WHERE price > 20")
	r.stop(r.poller)
	r.pollExtra["POLLER_TABLES"] = "goods WHERE (price > 10)"
	output, code := runOnce(t, binaries(t).Poller, r.pollerEnv(), "check")
	wantReport(t, output, code, 0)
	r.launchPoller()
	r.wantExactly(patience, "SELECT 'sequin:goods:' || id, to_json(t)::text FROM goods t WHERE price > 10")
	r.exec("UPDATE goods SET price = 1 WHERE id = 15; UPDATE goods SET price = 15 WHERE id = 1")
	r.wantExactly(patience, "SELECT 'sequin:goods:' || id, to_json(t)::text FROM goods t WHERE price > 10")
	r.stop(r.poller)
	r.pollExtra["POLLER_TABLES"] = "goods"
	r.launchPoller()
	r.wantExactly(patience, "SELECT 'sequin:goods:' || id, to_json(t)::text FROM goods t")
}
