package stack_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"freshet/local/pgtest"
	"freshet/local/stack"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func TestShop_ChangesBothTablesInEveryWay(t *testing.T) {
	db := pgtest.New(t)
	for _, chapter := range []string{"new", "again"} { // the second time the tables are there
		shop, err := stack.OpenShop(t.Context(), db.DSN)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		sold := make(chan error, 1)
		go func() { sold <- shop.Sell(ctx, 2000) }()
		const enough = `SELECT count(*) FROM pg_stat_user_tables WHERE n_tup_del > 5 AND n_tup_ins > 50
			OR relname = 'products' AND n_tup_upd > 50 AND n_tup_del > 5`
		eventually(t, chapter+": rows of both tables come, change and go", func() bool {
			return shop.Changed() > 100 && db.Text(enough) == "2"
		})
		cancel()
		if err := <-sold; err != nil {
			t.Fatal(err)
		}
		if err := shop.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if got := db.Text("SELECT count(*) FROM products"); got != "1000" {
		t.Errorf("%s products, want as many as at first", got)
	}
	if got := db.Text("SELECT count(*) FROM products WHERE id = $1", stack.ShopWindow); got != "1" {
		t.Error("the product in the window was retired")
	}
}

func TestShop_DoesNotTouchAnothersProducts(t *testing.T) {
	db := pgtest.New(t)
	db.Exec("CREATE TABLE products (id bigint PRIMARY KEY, title text)")
	shop, err := stack.OpenShop(t.Context(), db.DSN)
	if err == nil {
		shop.Close()
		t.Fatal("the shop opened in another's table")
	}
	if got := db.Text("SELECT count(*) FROM products"); got != "0" {
		t.Errorf("%s rows were put in", got)
	}
}

func TestStart_GivesACleanEnvironment(t *testing.T) {
	t.Setenv("FN_SURPRISE", "1")
	p, err := stack.Start(t.Context(), "env", "/usr/bin/env", map[string]string{"PORT": "1"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if code, err := p.Wait(10 * time.Second); code != 0 || err != nil {
		t.Fatal(code, err)
	}
	if got := p.Log(); !strings.Contains(got, "PORT=1\n") || !strings.Contains(got, "PATH=") || strings.Contains(got, "SURPRISE") {
		t.Errorf("got\n%s", got)
	}
}

func TestProcess_EndsAsItIsTold(t *testing.T) {
	start := func(ctx context.Context) *stack.Process {
		p, err := stack.Start(ctx, "sh", "/bin/sh", nil, nil, "-c", "trap 'exit 7' TERM; echo up; while :; do sleep 0.01; done")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Kill)
		eventually(t, "it is up", func() bool { return p.Log() == "up\n" })
		return p
	}
	wantCode := func(p *stack.Process, want int) {
		t.Helper()
		if code, err := p.Wait(10 * time.Second); code != want || err != nil {
			t.Errorf("got %d, %v, want %d", code, err, want)
		}
	}
	asked := start(t.Context())
	if _, err := asked.Wait(time.Millisecond); err == nil {
		t.Error("it ended by itself")
	}
	if err := asked.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	wantCode(asked, 7)
	if err := asked.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("a signal after the end: %v", err)
	}

	killed := start(t.Context())
	killed.Kill()
	wantCode(killed, -1)

	ctx, cancel := context.WithCancel(t.Context())
	forgotten := start(ctx)
	cancel()
	wantCode(forgotten, -1)
}

func TestWaitReady_WaitsFor200(t *testing.T) {
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) < 3 {
			http.Error(w, "not yet", http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	if err := stack.WaitReady(t.Context(), server.URL); err != nil || asked.Load() != 3 {
		t.Errorf("got %v after %d requests", err, asked.Load())
	}
	asked.Store(-1 << 20)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := stack.WaitReady(ctx, server.URL); err == nil || !strings.Contains(err.Error(), "not yet") {
		t.Errorf("got %v, want what the server said", err)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatal("it does not come to pass: " + what)
}
