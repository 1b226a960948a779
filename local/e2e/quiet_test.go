package e2e_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidwall/gjson"
)

// behindARelay lets the poller reach the function through a relay.
func (r *rig) behindARelay() *relay {
	r.Helper()
	between := newRelay(r.T, strings.TrimPrefix(r.fnURL(), "http://"))
	r.pollExtra["POLLER_FUNCTION_URL"] = "http://" + between.addr
	return between
}

// holdBack lets the poller reach the function through a proxy that keeps back batches with this text in them, but none of lane 0,
// which carries the seals. What release lets through may be late.
func (r *rig) holdBack(text string) (release func()) {
	r.Helper()
	function, err := url.Parse(r.fnURL())
	if err != nil {
		r.Fatal(err)
	}
	released := make(chan struct{})
	release = sync.OnceFunc(func() { close(released) })
	onward := httputil.NewSingleHostReverseProxy(function)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(request.Body)
		if err != nil {
			return // the poller is gone
		}
		if bytes.Contains(body, []byte(text)) && gjson.GetBytes(body, "fence.lane").Int() != 0 {
			<-released
		}
		request.Body = io.NopCloser(bytes.NewReader(body))
		onward.ServeHTTP(w, request)
	}))
	r.Cleanup(func() {
		release()
		proxy.Close()
	})
	r.pollExtra["POLLER_FUNCTION_URL"] = proxy.URL
	return release
}

// The server says again and again how far it is, while a batch is on its way: that confirms nothing.
func TestKeepaliveConfirmsNothingWhileABatchIsInFlight(t *testing.T) {
	if testing.Short() {
		t.Skip("takes several seconds")
	}
	t.Parallel()
	r, other := newShop(t), newRig(t, "", "CREATE TABLE noise (id int)")
	r.pollExtra["POLLER_REPLAY_WINDOW"] = "0s"
	release := r.holdBack(`"inventory_count":7777`)
	r.mirrored(100)
	r.wantConfirmed(patience, r.now())

	r.exec("UPDATE products SET inventory_count = 7777 WHERE id <= 100") // in all lanes
	changed := r.now()
	for range 3 {
		other.exec("INSERT INTO noise SELECT generate_series(1, 10000)")
		noise := lsn(t, r.now())
		eventually(t, patience, func() error {
			if received := uint64(r.counted("freshet_received_lsn")); received < noise {
				return fmt.Errorf("the poller has heard of %X, want %X", received, noise)
			}
			return nil
		})
		always(t, time.Second, func() error {
			if r.reaches(changed) {
				return fmt.Errorf("confirmed_flush_lsn is %s although not all that was committed before %s is in Redis", r.confirmed(), changed)
			}
			return nil
		})
	}
	release()
	r.wantConfirmed(patience, r.now())
	r.wantEqual(patience, "products", "orders")
}

// lsn is the number that Postgres spells so.
func lsn(t *testing.T, text string) uint64 {
	t.Helper()
	var high, low uint64
	if _, err := fmt.Sscanf(text, "%X/%X", &high, &low); err != nil {
		t.Fatalf("%q is no LSN: %v", text, err)
	}
	return high<<32 | low
}

// Nobody touches what is mirrored; the log that others fill must go nevertheless.
func TestQuietTablesReleaseTheLog(t *testing.T) {
	for _, window := range []string{"0s", "2s"} {
		t.Run("window "+window, func(t *testing.T) {
			t.Parallel()
			r := newShop(t)
			r.exec("CREATE TABLE noise (id int)")
			r.pollExtra["POLLER_REPLAY_WINDOW"] = window
			r.mirrored(10)
			for range 2 {
				r.exec("INSERT INTO noise SELECT generate_series(1, 10000)")
				r.wantConfirmed(patience, r.now())
			}
		})
	}
	t.Run("idle server", func(t *testing.T) {
		if testing.Short() {
			t.Skip("takes several seconds")
		}
		t.Parallel()
		r := newRig(t, "products,orders", "")
		r.pollExtra["POLLER_REPLAY_WINDOW"] = "2s"
		p := r.ownPostgres()
		p.exec(shop)
		p.exec("INSERT INTO products (id) SELECT generate_series(1, 10)")
		r.start()
		p.wantEqual("products", "orders")
		end := p.text("SELECT pg_current_wal_insert_lsn()")
		eventually(t, 2*patience, func() error { // the server mentions its position seldom
			if p.text("SELECT confirmed_flush_lsn >= '"+end+"' FROM pg_replication_slots") != "true" {
				return fmt.Errorf("confirmed_flush_lsn is %s, want %s", p.text("SELECT confirmed_flush_lsn FROM pg_replication_slots"), end)
			}
			return nil
		})
	})
}

// A function that accepts requests and never answers, while the load goes on: the poller keeps its connection to Postgres, which would throw
// it out after 6 s of silence, and holds no more than it may.
func TestFunctionHangsUnderLoad(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	t.Parallel()
	during := 30 * time.Second
	if soaking {
		during = 5 * time.Minute
	}
	r := newShop(t)
	r.pollExtra["POLLER_TIMEOUT"] = "5s" // so that requests pile up that nobody waits for any more
	between := r.behindARelay()
	lean(t)
	r.stock(3000, 1000)
	r.startLean()
	r.wantBackfilled("public.products", "public.orders")
	walsender := r.walsender()

	between.hold()
	tr := r.busy(2, 3000)
	r.exec("INSERT INTO products (id, name) SELECT n, repeat('x', 1000) FROM generate_series(50000001, 50040000) n") // more than the buffer holds
	always(t, during, func() error {
		if now := r.walsender(); now != walsender {
			return fmt.Errorf("the replication connection went from %q to %q", walsender, now)
		}
		return nil
	})
	if held := r.counted("freshet_buffer_bytes"); held < 16<<20 {
		t.Errorf("the buffer holds %.0f bytes, want it full: the test shows nothing", held)
	}
	between.release()
	tr.wantDeals(100)
	tr.close()
	r.wantEqual(2*patience, "products", "orders")
	if now := r.walsender(); now != walsender {
		t.Errorf("the replication connection went from %q to %q", walsender, now)
	}
	r.wantLittleMemory(r.poller)
	r.wantLittleMemory(r.fn)
}
