package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"freshet/local/e2e"
	"freshet/local/stack"
)

// patience is how long tests wait for what should take a moment, on a machine that does other things too.
const patience = 30 * time.Second

// rig is one test's own database, slot and Redis, and the programs that it starts on them.
type rig struct {
	*testing.T
	db    *pgx.Conn // of the test's own goroutine
	redis *redis.Client
	name  string // of the database and of the slot

	fn, poller         *stack.Process
	fnPort, adminPort  int
	fnExtra, pollExtra map[string]string // settings of this test
}

// newRig makes a rig. schema is run in its database; tables are what the poller is to mirror.
func newRig(t *testing.T, tables, schema string) *rig {
	t.Helper()
	needServers(t)
	r := &rig{T: t, fnPort: stack.FreePort(), adminPort: stack.FreePort(), fnExtra: map[string]string{}, pollExtra: map[string]string{}}
	n := world.databases.Add(1)
	r.name = fmt.Sprintf("e2e_%d", n)
	r.pollExtra["POLLER_TABLES"] = tables
	r.onServer("CREATE DATABASE " + r.name)
	t.Cleanup(r.drop)
	r.db = dial(t, world.postgres.Database(r.name))
	r.redis = redis.NewClient(&redis.Options{Addr: world.redis.Addr, DB: int(n), Protocol: 2})
	t.Cleanup(func() { r.redis.FlushDB(context.Background()); r.redis.Close() })
	r.exec(schema)
	return r
}

// dial connects until the test ends.
func dial(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// onServer runs a statement outside of the rig's database.
func (r *rig) onServer(sql string) {
	r.Helper()
	conn, err := pgx.Connect(context.Background(), world.postgres.DSN)
	if err != nil {
		r.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(context.Background(), sql); err != nil {
		r.Fatalf("%s: %v", sql, err)
	}
}

// drop removes slot and database, once the programs are gone.
func (r *rig) drop() {
	r.onServer("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '" + r.name + "' AND NOT active")
	r.onServer("DROP DATABASE " + r.name + " WITH (FORCE)")
}

// exec runs SQL in the rig's database.
func (r *rig) exec(sql string, args ...any) {
	r.Helper()
	if _, err := r.db.Exec(context.Background(), sql, args...); err != nil {
		r.Fatalf("%s: %v", sql, err)
	}
}

// text asks the database for one value.
func (r *rig) text(sql string, args ...any) string {
	r.Helper()
	var value *string
	if err := r.db.QueryRow(context.Background(), "SELECT ("+sql+")::text", args...).Scan(&value); err != nil {
		r.Fatalf("%s: %v", sql, err)
	}
	if value == nil {
		return ""
	}
	return *value
}

// databaseURL has the secret in it; the server trusts everyone and does not look at it.
func (r *rig) databaseURL() string { return withSecret(r.T, world.postgres.Database(r.name), "") }

func withSecret(t *testing.T, dsn, user string) string {
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	if user == "" {
		user = u.User.Username()
	}
	u.User = url.UserPassword(user, secret)
	return u.String()
}

func (r *rig) redisURL(user string) string {
	return fmt.Sprintf("redis://%s:%s@%s/%d", user, secret, world.redis.Addr, r.redis.Options().DB)
}

func (r *rig) fnURL() string     { return fmt.Sprintf("http://127.0.0.1:%d", r.fnPort) }
func (r *rig) adminAddr() string { return fmt.Sprintf("127.0.0.1:%d", r.adminPort) }
func (r *rig) judge(tables ...string) e2e.Judge {
	return e2e.Judge{DSN: world.postgres.Database(r.name), Redis: r.redis, Tables: tables}
}

// wantEqual lets the judge wait until rows and keys agree.
func (r *rig) wantEqual(within time.Duration, tables ...string) e2e.Verdict {
	r.Helper()
	verdict, err := r.judge(tables...).Await(context.Background(), within)
	if err != nil {
		r.Fatal(err)
	}
	if !verdict.Equal() {
		r.Fatalf("the judge, after %s: %s", within, verdict)
	}
	return verdict
}

// get is a key's string, and whether there is one.
func (r *rig) get(key string) (string, bool) {
	r.Helper()
	value, err := r.redis.Get(context.Background(), key).Result()
	if err != nil && err != redis.Nil {
		r.Fatal(err)
	}
	return value, err == nil
}

func (r *rig) fnEnv() map[string]string {
	env := map[string]string{"REDIS_URL": r.redisURL("freshet"), "PORT": fmt.Sprint(r.fnPort)}
	maps.Copy(env, r.fnExtra)
	return env
}

func (r *rig) pollerEnv() map[string]string {
	env := map[string]string{
		"DATABASE_URL": r.databaseURL(), "POLLER_FUNCTION_URL": r.fnURL(), "POLLER_SLOT": r.name, "POLLER_ADMIN_ADDR": r.adminAddr(),
	}
	maps.Copy(env, r.pollExtra)
	return env
}

func binaries(t *testing.T) stack.Binaries {
	t.Helper()
	programs, err := world.programs()
	if err != nil {
		t.Fatal(err)
	}
	return programs
}

func (r *rig) launchFn() {
	r.Helper()
	r.fn = launch(r.T, "fn", binaries(r.T).Fn, r.fnEnv())
	r.waitReady(r.fnURL())
}

// launchPoller does not wait until it is ready; wantReady does.
func (r *rig) launchPoller() {
	r.Helper()
	r.poller = launch(r.T, "poller", binaries(r.T).Poller, r.pollerEnv())
}

// start brings both programs up.
func (r *rig) start() {
	r.Helper()
	r.launchFn()
	r.launchPoller()
	r.waitReady("http://" + r.adminAddr())
}

func (r *rig) waitReady(base string) {
	r.Helper()
	eventually(r.T, patience, func() error {
		status, body, err := fetch(base + "/readyz")
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("GET %s/readyz: %d %s", base, status, body)
		}
		return err
	})
}

// wantExit waits for a program to end, and for the code that it ends with.
func (r *rig) wantExit(p *stack.Process, want int) {
	r.Helper()
	code, err := p.Wait(patience)
	if err != nil {
		r.Fatalf("it does not end: %v", err)
	}
	if code != want {
		r.Fatalf("exit code %d, want %d; its output:\n%s", code, want, p.Log())
	}
}

// stop asks a program to stop, and wants it to do so in order.
func (r *rig) stop(p *stack.Process) {
	r.Helper()
	if err := p.Signal(syscall.SIGTERM); err != nil {
		r.Fatal(err)
	}
	r.wantExit(p, 0)
}

// kill is SIGKILL: the program can do nothing about it.
func (r *rig) kill(p *stack.Process) {
	p.Kill()
	if _, err := p.Wait(patience); err != nil {
		r.Fatal(err)
	}
}

// fetch is what curl would show.
func fetch(url string) (status int, body string, err error) {
	client := http.Client{Timeout: 5 * time.Second}
	answer, err := client.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(text), err
}

// launch starts a program with these settings, on top of what a program needs from any environment.
func launch(t *testing.T, name, bin string, env map[string]string, args ...string) *stack.Process {
	t.Helper()
	env = maps.Clone(env)
	env["GORACE"] = "halt_on_error=1"
	var output bytes.Buffer // all of it; the process itself keeps the end
	p, err := stack.Start(context.Background(), name, bin, env, &output, args...)
	if err != nil {
		t.Fatal(err)
	}
	artifacts := t.ArtifactDir()
	t.Cleanup(func() {
		p.Kill() // nothing writes to output afterwards
		lookThrough(t, name, output.String())
		keep(t, filepath.Join(artifacts, fmt.Sprintf("%s-%d.log", name, p.PID())), output.Bytes())
	})
	return p
}

// traces are what no output of a program may hold: the password, a row, or the remains of a crash.
var traces = []string{secret, rowMarker, "panic:", "goroutine ", "DATA RACE"}

// rowMarker is in the rows of the shop.
const rowMarker = "Mug-with-a-secret"

// lookThrough fails the test when a program said what it must not; after any failure it shows what it said.
func lookThrough(t *testing.T, name, output string) {
	t.Helper()
	for _, trace := range traces {
		if at := strings.Index(output, trace); at >= 0 {
			t.Errorf("%s printed %q: ...%s", name, trace, output[max(0, at-200):min(len(output), at+1000)])
		}
	}
	if t.Failed() {
		t.Logf("the end of what %s printed:\n%s", name, output[max(0, len(output)-4000):])
	}
}

// keep saves what a program printed for those who run the tests with -artifacts.
func keep(t *testing.T, file string, output []byte) {
	t.Helper()
	if err := os.WriteFile(file, output, 0o644); err != nil {
		t.Error(err)
	}
}
