package e2e_test

import (
	"testing"
	"time"
)

// flushed is how soon an emptied Redis is noticed; some more is for the machine.
const flushed = 10*time.Second + 3*time.Second

// emptyRedis is somebody's FLUSHALL. It returns when a session has found out.
func (r *rig) emptyRedis(within time.Duration) {
	r.Helper()
	if err := r.redis.FlushAll(r.Context()).Err(); err != nil {
		r.Fatal(err)
	}
	took := eventually(r.T, within, func() error {
		if r.redis.Exists(r.Context(), "freshet:freshet:state").Val() == 0 {
			return errNotYet
		}
		return nil
	})
	r.Logf("noticed after %s", took.Round(time.Millisecond))
	r.wantFound("fresh", 2)
}

func TestRedisEmptiedUnderLoad(t *testing.T) {
	t.Parallel()
	r := newShop(t)
	r.ownRedis()
	r.mirrored(3000)
	tr := r.busy(3, 3000)
	tr.wantDeals(100)
	r.emptyRedis(flushed)
	tr.wantDeals(100)
	tr.close()
	r.wantBackfilled("public.products", "public.orders")
	r.wantEqual(patience, "products", "orders")
}

// Nothing changes any more that could show it, in the whole server: a heartbeat does.
func TestRedisEmptiedWhileIdle(t *testing.T) {
	if testing.Short() {
		t.Skip("takes several seconds")
	}
	for _, c := range []struct {
		heartbeat string
		within    time.Duration
	}{{"", flushed}, {"1s", flushed / 2}} {
		t.Run("heartbeat "+c.heartbeat, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "products,orders", "")
			r.ownRedis()
			p := r.ownPostgres()
			p.exec(shop)
			p.exec("INSERT INTO products (id) SELECT generate_series(1, 500)")
			if c.heartbeat != "" {
				r.pollExtra["POLLER_HEARTBEAT"] = c.heartbeat
			}
			r.start()
			r.wantBackfilled("public.products", "public.orders")
			p.wantEqual("products", "orders")
			r.emptyRedis(c.within)
			r.wantBackfilled("public.products", "public.orders")
			p.wantEqual("products", "orders")
		})
	}
}
