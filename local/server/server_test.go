package server_test

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"freshet/local/server"
)

// TestMain is a victim instead of a test when TestServersDieWithTheirParent starts it.
func TestMain(m *testing.M) {
	if os.Getenv("FRESHET_TEST_VICTIM") == "1" {
		victim()
	}
	os.Exit(m.Run())
}

func needServers(t *testing.T) {
	t.Helper()
	if _, err := server.Find(); err != nil {
		server.Missing(t, err)
	}
}

func TestPostgres_KeepsItsDataAndPortOverARestart(t *testing.T) {
	needServers(t)
	p, err := server.StartPostgres(t.Context(), server.PostgresOptions{Settings: map[string]string{"work_mem": "5MB", "application_name": "it's"}})
	if err != nil {
		t.Fatal(err)
	}
	closed := false
	defer func() {
		if !closed {
			p.Close()
		}
	}()
	wantText(t, p.DSN, "select current_setting('wal_level') || current_setting('fsync') || current_setting('work_mem')", "logicaloff5MB")
	wantText(t, p.DSN, "select current_setting('server_encoding') || current_setting('listen_addresses')", "UTF8127.0.0.1")
	wantText(t, p.DSN, "create table kept(); select 'made'", "made")
	for _, mode := range []string{"fast", "immediate", "smart"} {
		if err := p.Stop(mode); err != nil {
			t.Fatal(err)
		}
		if p.Running() {
			t.Fatalf("still runs after a %s stop", mode)
		}
		if err := p.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantText(t, p.DSN, "select count(*)::text from kept", "0")
	}
	closed = true
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Dir(p.Dir)); !os.IsNotExist(err) {
		t.Errorf("%s is left behind: %v", filepath.Dir(p.Dir), err)
	}
}

func TestPostgres_UsesAGivenFolder(t *testing.T) {
	needServers(t)
	dir := filepath.Join(t.TempDir(), "cluster")
	for range 2 { // the second time the cluster is there
		p, err := server.StartPostgres(t.Context(), server.PostgresOptions{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		wantText(t, p.DSN, "select 1::text", "1")
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(dir, "PG_VERSION")); err != nil {
			t.Errorf("the caller's folder is gone: %v", err)
		}
	}
}

func TestPostgres_SaysWhyItDoesNotStart(t *testing.T) {
	needServers(t)
	_, err := server.StartPostgres(t.Context(), server.PostgresOptions{Settings: map[string]string{"wal_level": "high"}})
	if err == nil || !strings.Contains(err.Error(), `invalid value for parameter "wal_level"`) {
		t.Fatalf("got %v, want what Postgres said", err)
	}
}

func TestRedis_StopsCrashesAndStarts(t *testing.T) {
	needServers(t)
	r, err := server.StartRedis(t.Context(), server.RedisOptions{Args: []string{"--requirepass", "x", "--appendonly", "yes"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.Kill()
	if r.Running() {
		t.Error("runs after Kill")
	}
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(r.Dir); !os.IsNotExist(err) {
		t.Errorf("%s is left behind: %v", r.Dir, err)
	}
}

// victim starts both servers, says where they are and waits to be killed.
func victim() {
	p, err := server.StartPostgres(context.Background(), server.PostgresOptions{})
	if err != nil {
		panic(err)
	}
	r, err := server.StartRedis(context.Background(), server.RedisOptions{})
	if err != nil {
		panic(err)
	}
	os.Stdout.WriteString(p.DSN + " " + r.Addr + " " + filepath.Dir(p.Dir) + " " + r.Dir + "\n")
	select {}
}

func TestServersDieWithTheirParent(t *testing.T) {
	needServers(t)
	if !diesWithParent {
		t.Skip("only Linux tells a child of its parent's death")
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "FRESHET_TEST_VICTIM=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	places := strings.Fields(line)
	for _, dir := range places[2:] {
		defer os.RemoveAll(dir)
	}
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	eventually(t, "Postgres ends", func() bool { return connect(t, places[0]) != nil })
	eventually(t, "Redis ends", func() bool { return dial(places[1]) != nil })
}

func wantText(t *testing.T, dsn, sql, want string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	results, err := conn.PgConn().Exec(t.Context(), sql).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if got := string(results[len(results)-1].Rows[0][0]); got != want {
		t.Errorf("%s\n got %q\nwant %q", sql, got, want)
	}
}

func connect(t *testing.T, dsn string) error {
	conn, err := pgx.Connect(t.Context(), dsn)
	if err == nil {
		conn.Close(context.Background())
	}
	return err
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatal("it does not come to pass that " + what)
}

func TestFreePort_NoneTwice(t *testing.T) {
	seen := map[int]bool{}
	for range 1000 {
		port, err := server.FreePort()
		if err != nil {
			t.Fatal(err)
		}
		if seen[port] {
			t.Fatalf("port %d was found twice", port)
		}
		seen[port] = true
	}
}
