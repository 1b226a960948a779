// Package pgtest gives each test a database of its own on a real Postgres server. The server is started by the first test of
// a process that asks for one, and stopped by Main.
package pgtest

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"freshet/local/server"
)

// EnvPostgres names the variable with the DSN of a running server to use instead of a throw-away one. Its role must be a
// superuser.
const EnvPostgres = "FRESHET_TEST_POSTGRES"

// shared is the process's server. A mutex and not a once, because Main must know whether it was started.
var shared struct {
	sync.Mutex
	main   bool // Main runs, so somebody will stop the server
	server *server.Postgres
	err    error
}

// Main runs a package's tests and stops the server after them: func TestMain(m *testing.M) { pgtest.Main(m) }.
func Main(m *testing.M) {
	shared.Lock()
	shared.main = true
	shared.Unlock()
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-interrupted
		stop()
		os.Exit(130)
	}()
	code := m.Run()
	stop()
	os.Exit(code)
}

func stop() {
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil {
		return
	}
	if err := shared.server.Close(); err != nil {
		fmt.Fprintln(os.Stderr, "pgtest:", err)
	}
	shared.server = nil
}

// Server is the process's server, started if it does not run yet. Without Postgres on this machine the test is skipped, or fails
// where skipping is not allowed. It is nil with FRESHET_TEST_POSTGRES, where the server is not ours to stop and start.
func Server(t testing.TB) *server.Postgres {
	t.Helper()
	if os.Getenv(EnvPostgres) != "" {
		return nil
	}
	if found, err := server.Find(); found.PostgresBin == "" {
		server.Missing(t, err)
	}
	shared.Lock()
	defer shared.Unlock()
	if !shared.main {
		t.Fatal("the package needs func TestMain(m *testing.M) { pgtest.Main(m) }, which stops the server")
	}
	if shared.server == nil && shared.err == nil {
		shared.server, shared.err = server.StartPostgres(context.Background(), server.PostgresOptions{})
	}
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.server
}

// New makes an empty database. It is dropped with its replication slots when the test ends.
func New(t testing.TB) *Database {
	t.Helper()
	d := &Database{t: t, Name: uniqueName(t.Name()), server: Server(t)}
	admin := os.Getenv(EnvPostgres)
	if d.server != nil {
		admin = d.server.DSN
	}
	var err error
	if d.DSN, err = withDatabase(admin, d.Name); err != nil {
		t.Fatal(err)
	}
	// template0 has no one connected to it, ever, so it can always be copied.
	if err := execute(admin, "CREATE DATABASE "+pgx.Identifier{d.Name}.Sanitize()+" TEMPLATE template0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		d.close()
		if err := drop(admin, d.Name); err != nil {
			t.Errorf("drop database %s: %v", d.Name, err)
		}
	})
	return d
}
