package e2e_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"freshet/local/server"
)

// lag is how much of the stream a Redis loses in these tests: far less than the replay window.
const lag = 2 * time.Second

// mirrored starts both programs on a shop of so many products, and a hundred that no customer touches, and waits until they have arrived.
func (r *rig) mirrored(products int) {
	r.Helper()
	r.stock(products, products/2)
	r.exec("INSERT INTO products (id, name) SELECT n, 'to be deleted' FROM generate_series(2000001, 2000100) n")
	r.start()
	r.wantBackfilled("public.products", "public.orders")
	r.wantEqual(patience, "products", "orders")
}

// keepBusy lets the trade go on for as long as lag, with deletes that are known to have reached the Redis which is looked at.
func (r *rig) keepBusy(tr *trade) {
	r.Helper()
	over := time.After(lag)
	tr.wantDeals(200)
	r.exec("DELETE FROM products WHERE id > 2000000")
	r.exec("INSERT INTO products (id, name) SELECT n, 'lost' FROM generate_series(1000001, 1001000) n")
	eventually(r.T, patience, func() error {
		_, old := r.get("sequin:products:2000100")
		_, fresh := r.get("sequin:products:1001000")
		if old || !fresh {
			return errNotYet
		}
		return nil
	})
	<-over
}

// wantLost wants a Redis that knows nothing of what keepBusy did.
func (r *rig) wantLost(s *server.Redis) {
	r.Helper()
	client := redis.NewClient(&redis.Options{Addr: s.Addr, Protocol: 2})
	defer client.Close()
	if n := client.Exists(r.Context(), "sequin:products:2000001", "sequin:products:2000100").Val(); n != 2 {
		r.Fatalf("%d of 2 keys whose delete was to be lost are there: the test shows nothing", n)
	}
	if n := client.Exists(r.Context(), "sequin:products:1001000").Val(); n != 0 {
		r.Fatal("a key that was to be lost is there: the test shows nothing")
	}
}

// wantRewound lets the trade go on for a while and wants everything equal again, brought by the stream alone.
func (r *rig) wantRewound(tr *trade, sessions int, rows float64) {
	r.Helper()
	began := time.Now()
	r.wantFound("current", sessions)
	tr.wantDeals(100)
	tr.close()
	r.wantEqual(patience, "products", "orders")
	r.Logf("all was equal again after %s", time.Since(began).Round(time.Millisecond))
	if behind := r.found("behind"); behind != 0 {
		r.Errorf("%d sessions found the sink behind", behind)
	}
	if now := r.counted("freshet_backfill_rows_total"); now != rows {
		r.Errorf("backfills have read %.0f rows, want the %.0f of before", now, rows)
	}
	for _, table := range []string{"products", "orders"} {
		if state := r.redis.HGet(r.Context(), "freshet:freshet:state", "backfill:public."+table).Val(); !strings.Contains(state, `"done"`) {
			r.Errorf("the backfill of %s is %s, want it done as before", table, state)
		}
	}
}

// The new master has never heard of the last two seconds.
func TestPromotedReplicaThatLagged(t *testing.T) {
	if testing.Short() {
		t.Skip("takes several seconds")
	}
	t.Parallel()
	r := newShop(t)
	master, front := r.ownRedis("--repl-diskless-sync-delay", "0")
	link := newRelay(t, master.Addr)
	_, port, _ := strings.Cut(link.addr, ":")
	replica := startRedis(t, "--replicaof", "127.0.0.1", port)
	r.mirrored(3000)
	rows := r.counted("freshet_backfill_rows_total")
	r.wantReplicated(replica)
	tr := r.busy(3, 3000)
	tr.wantDeals(100)

	link.hold()
	r.keepBusy(tr)
	master.Kill()
	r.lookAt(replica)
	r.wantLost(replica)
	if err := r.redis.Do(t.Context(), "REPLICAOF", "NO", "ONE").Err(); err != nil {
		t.Fatal(err)
	}
	front.switchTo(replica.Addr)
	r.wantRewound(tr, 1, rows)
}

// wantReplicated waits until the replica has what its master has, before anybody writes more.
func (r *rig) wantReplicated(replica *server.Redis) {
	r.Helper()
	client := redis.NewClient(&redis.Options{Addr: replica.Addr, Protocol: 2})
	defer client.Close()
	eventually(r.T, patience, func() error {
		info := client.Info(r.Context(), "replication").Val()
		got, want := client.DBSize(r.Context()).Val(), r.redis.DBSize(r.Context()).Val()
		if !strings.Contains(info, "master_link_status:up") || got != want {
			return fmt.Errorf("the replica has %d of %d keys", got, want)
		}
		return nil
	})
}

// A machine that crashes takes along what Redis wrote since its last fsync; here that is two seconds, and half a command is left. In one
// case the session that was open when it crashed is among what was lost.
func TestRedisCrashedBeforeItsFsync(t *testing.T) {
	if testing.Short() {
		t.Skip("takes several seconds")
	}
	for _, c := range []struct {
		name    string
		restart bool
	}{{"within a session", false}, {"a session was lost too", true}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newShop(t)
			own, _ := r.ownRedis("--appendonly", "yes", "--appendfsync", "everysec", "--auto-aof-rewrite-percentage", "0")
			r.mirrored(3000)
			rows := r.counted("freshet_backfill_rows_total")
			tr := r.busy(3, 3000)
			tr.wantDeals(100)

			file, size := appendOnly(t, own)
			sessions := 1
			if c.restart {
				r.kill(r.poller)
				r.launchPoller()
				r.waitReady("http://" + r.adminAddr())
				rows, sessions = 0, 2 // of the new process
			}
			r.keepBusy(tr)
			own.Kill()
			const halfACommand = 7
			if err := os.Truncate(file, size+halfACommand); err != nil {
				t.Fatal(err)
			}
			// Nobody may write before we have looked.
			r.kill(r.fn)
			if err := own.Start(context.Background()); err != nil {
				t.Fatal(err)
			}
			r.wantLost(own)
			r.launchFn()
			r.wantRewound(tr, sessions, rows)
		})
	}
}

// appendOnly is the file that Redis appends to, and its size now.
func appendOnly(t *testing.T, s *server.Redis) (file string, size int64) {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join(s.Dir, "appendonlydir", "*.incr.aof"))
	if len(files) != 1 {
		t.Fatalf("there are %d append-only files, want 1: %v", len(files), files)
	}
	info, err := os.Stat(files[0])
	if err != nil {
		t.Fatal(err)
	}
	return files[0], info.Size()
}

// A Redis that comes back from before the replay window has keys of which nobody knows how old they are, and some whose rows are long gone.
func TestRedisRestoredFromAnOldBackup(t *testing.T) {
	if testing.Short() {
		t.Skip("takes several seconds")
	}
	t.Parallel()
	r := newShop(t)
	own, _ := r.ownRedis()
	r.pollExtra["POLLER_REPLAY_WINDOW"] = "1s"
	r.mirrored(3000)
	if err := r.redis.Save(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	r.exec("DELETE FROM products WHERE id % 7 = 0")
	r.exec("UPDATE products SET inventory_count = -1 WHERE id % 7 = 1")
	r.exec("UPDATE products SET id = id + 1000000 WHERE id % 7 = 2")
	r.exec("TRUNCATE orders")
	r.wantConfirmed(patience, r.now()) // no longer in the slot
	tr := r.busy(2, 3000)
	tr.wantDeals(50)

	own.Kill()
	if err := own.Start(context.Background()); err != nil { // it finds the backup
		t.Fatal(err)
	}
	r.wantFound("behind", 1)
	tr.wantDeals(50)
	tr.close()
	r.wantBackfilled("public.products", "public.orders")
	r.wantEqual(patience, "products", "orders")
	if fresh := r.found("fresh"); fresh != 1 {
		t.Errorf("%d sessions found the sink fresh, want the first alone", fresh)
	}
}
