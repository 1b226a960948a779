package e2e_test

import (
	"context"
	"fmt"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"freshet/local/e2e"
)

// load is how long pgbench runs.
const load = 20 * time.Second

// pgbench brings its own schema and its own load; its history has no primary key and is not mirrored. Meanwhile both programs
// are killed more than once, and a watcher looks for any version that goes back.
func TestPgbench(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	r := newRig(t, "pgbench_accounts,pgbench_tellers,pgbench_branches,versions",
		"CREATE TABLE versions (id int PRIMARY KEY, v bigint NOT NULL); INSERT INTO versions SELECT n, 0 FROM generate_series(1, 50) n")
	r.pgbench("-i", "-s", "1", "-q")
	r.launchFn()
	r.launchPoller()

	loaded := make(chan struct{})
	go func() {
		defer close(loaded)
		r.pgbench("-c", "8", "-T", fmt.Sprint(int(load.Seconds())), "-n")
	}()
	counting := r.count(50)
	watch := r.watch(&e2e.Watcher{Redis: r.redis, Keys: versionKeys(50), Column: "v"})
	r.disturb(loaded)
	<-loaded
	counting()

	v := r.wantEqual(2*patience, "pgbench_accounts", "pgbench_tellers", "pgbench_branches", "versions")
	if want := 100_000 + 10 + 1 + 50; v.Rows != want {
		t.Errorf("the judge looked at %d rows, want %d", v.Rows, want)
	}
	watch.looks()
	watch.wantForward(100)
}

// disturb kills and restarts both programs while the load lasts.
func (r *rig) disturb(loaded <-chan struct{}) {
	r.Helper()
	for n := 0; ; n++ {
		select {
		case <-loaded:
			if n < 4 {
				r.Errorf("the load was over after %d disturbances", n)
			}
			return
		case <-time.After(load / 8):
		}
		switch n % 3 {
		case 0:
			r.kill(r.fn)
			away := time.After(time.Second)
			<-away
			r.launchFn()
		case 1:
			r.kill(r.poller)
			r.launchPoller()
		case 2: // both at once
			r.kill(r.fn)
			r.kill(r.poller)
			r.launchPoller()
			r.launchFn()
		}
	}
}

// pgbench runs the program of that name on the rig's database.
func (r *rig) pgbench(args ...string) {
	r.Helper()
	program := world.postgres.Tool("pgbench")
	if program == "" {
		r.Error("there is no pgbench on this machine; it comes with the server")
		return
	}
	args = append(args, "-h", "127.0.0.1", "-p", fmt.Sprint(world.postgres.Port), "-U", "postgres", r.name)
	out, err := exec.CommandContext(r.Context(), program, args...).CombinedOutput()
	if err != nil {
		r.Errorf("pgbench: %v\n%s", err, out)
	}
	r.Logf("pgbench %v\n%s", args, out)
}

// count lets versions grow, in two connections that get in each other's way, until the function it returns is called.
func (r *rig) count(rows int) (stop func()) {
	ctx, cancel := context.WithCancel(r.Context())
	var work sync.WaitGroup
	for range 2 {
		db := dial(r.T, world.postgres.Database(r.name))
		work.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				if err := grow(ctx, db, 1+n%rows); err != nil && ctx.Err() == nil {
					r.Error(err)
					return
				}
			}
		})
	}
	return func() { cancel(); work.Wait() }
}

// grow raises a version three times in one transaction.
func grow(ctx context.Context, db *pgx.Conn, id int) error {
	return pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		for range 3 {
			if _, err := tx.Exec(ctx, "UPDATE versions SET v = v + 1 WHERE id = $1", id); err != nil {
				return err
			}
		}
		return nil
	})
}

func versionKeys(rows int) (keys []string) {
	for id := 1; id <= rows; id++ {
		keys = append(keys, fmt.Sprintf("sequin:versions:%d", id))
	}
	return keys
}
