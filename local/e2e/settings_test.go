package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"freshet/local/server"
	"freshet/local/stack"
)

// runOnce runs a program to its end, with nothing in its environment but env.
func runOnce(t *testing.T, bin string, env map[string]string, args ...string) (output string, code int) {
	t.Helper()
	return runWithin(t, patience, bin, env, args...)
}

func runWithin(t *testing.T, patience time.Duration, bin string, env map[string]string, args ...string) (output string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin, args...)
	cmd.Env = []string{"GORACE=halt_on_error=1"}
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	text, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if ctx.Err() != nil {
		t.Fatalf("it does not end within %s; its output:\n%s", patience, text)
	}
	lookThrough(t, bin, string(text))
	return string(text), cmd.ProcessState.ExitCode()
}

// wantReport wants an exit code and an output that says all of this.
func wantReport(t *testing.T, output string, code, wantCode int, says ...string) {
	t.Helper()
	if code != wantCode {
		t.Errorf("exit code %d, want %d", code, wantCode)
	}
	for _, part := range says {
		if !strings.Contains(output, part) {
			t.Errorf("the report does not say %q", part)
		}
	}
	if t.Failed() {
		t.Logf("the report:\n%s", output)
	}
}

func TestBadSettingsOfThePoller(t *testing.T) {
	t.Parallel()
	needServers(t)
	bin := binaries(t).Poller
	for _, c := range []struct {
		name string
		env  map[string]string
		says []string
	}{
		{"nothing set", nil, []string{"DATABASE_URL", "POLLER_FUNCTION_URL", "POLLER_TABLES"}},
		{"of each kind one", map[string]string{
			"DATABASE_URL": "postgres://app:" + secret + "@localhost/shop", "POLLER_FUNCTION_URL": "",
			"POLLER_LANES": "eight", "POLLER_REPLAY_WINDOW": "soon", "POLLER_TABELS": "products", "POLLER_BACKFIL": "off",
		}, []string{"POLLER_FUNCTION_URL", "POLLER_LANES", "POLLER_REPLAY_WINDOW", "POLLER_TABELS", "did you mean POLLER_TABLES",
			"POLLER_BACKFIL ", "did you mean POLLER_BACKFILL", "POLLER_TABLES is needed"}},
		{"values that cannot be", map[string]string{
			"DATABASE_URL": "postgres://app:" + secret + "@localhost:no-port/shop", "POLLER_FUNCTION_URL": "ftp://nowhere",
			"POLLER_TABLES": "products", "POLLER_LANES": "0", "POLLER_BACKFILL": "perhaps", "POLLER_REPLAY_WINDOW": "-1s", "POLLER_SLOT": "No Slot",
		}, []string{"DATABASE_URL", "POLLER_FUNCTION_URL", "POLLER_LANES", "POLLER_BACKFILL", "POLLER_REPLAY_WINDOW", "POLLER_SLOT"}},
		{"a password that breaks the URL", map[string]string{
			"DATABASE_URL": "postgres://app:" + secret + "%zz@localhost/shop", "POLLER_FUNCTION_URL": "http://localhost:8080", "POLLER_TABLES": "products",
		}, []string{"DATABASE_URL"}},
		{"impossible and misspelt", map[string]string{
			"DATABASE_URL": "postgres://app:" + secret + "@localhost:no-port/shop", "POLLER_FUNCTION_URL": "http://localhost:8080",
			"POLLER_TABLES": "products", "POLLER_LANE": "4",
		}, []string{"DATABASE_URL", "POLLER_LANE "}},
	} {
		for _, command := range []string{"", "check"} {
			t.Run(strings.TrimSpace(c.name+" "+command), func(t *testing.T) {
				output, code := runOnce(t, bin, c.env, strings.Fields(command)...)
				wantReport(t, output, code, 2, c.says...)
			})
		}
	}
}

func TestBadSettingsOfTheFunction(t *testing.T) {
	t.Parallel()
	needServers(t)
	bin := binaries(t).Fn
	for _, c := range []struct {
		name string
		env  map[string]string
		says []string
	}{
		{"nothing set", nil, []string{"REDIS_"}},
		{"of each kind one", map[string]string{
			"REDIS_URL": "", "PORT": "http", "FN_ACTION": "insert", "FN_MAX_BODY": "much",
		}, []string{"PORT", "FN_ACTION ", "did you mean FN_ACTIONS", "FN_MAX_BODY"}},
		{"values that cannot be", map[string]string{
			"REDIS_URL": "redis://app:" + secret + "@localhost:no-port/0", "FN_KEY": "product:{record.id", "FN_ACTIONS": "insert,upsert", "FN_EXPIRE_MS": "soon",
		}, []string{"REDIS_URL", "FN_KEY", "FN_ACTIONS", "FN_EXPIRE_MS"}},
		{"a password that breaks the URL", map[string]string{"REDIS_URL": "redis://app:" + secret + "%zz@localhost/0"}, []string{"REDIS_URL"}},
		{"no such scheme", map[string]string{"REDIS_URL": "http://app:" + secret + "@localhost/0"}, []string{"REDIS_URL"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			output, code := runOnce(t, bin, c.env)
			wantReport(t, output, code, 2, c.says...)
		})
	}
}

func TestCheckIsContent(t *testing.T) {
	t.Parallel()
	r := newShop(t)
	r.launchFn()
	output, code := runOnce(t, binaries(t).Poller, r.pollerEnv(), "check")
	wantReport(t, output, code, 0)
	if slots := r.text("SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1", r.name); slots != "0" {
		t.Error("a check made a slot")
	}
	if keys := r.keys(); len(keys) != 0 {
		t.Errorf("a check left keys: %v", keys)
	}
}

// poor is a rig where everything is wrong: its own server does not do logical decoding, of its tables one has no
// primary key and one does not exist.
func poor(t *testing.T) *rig {
	r := newRig(t, "products, nokey, no_such_table", "")
	postgres, err := server.StartPostgres(t.Context(), server.PostgresOptions{Settings: map[string]string{"wal_level": "replica"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := postgres.Close(); err != nil {
			t.Error(err)
		}
	})
	db := dial(t, postgres.DSN)
	if _, err := db.Exec(t.Context(), shop+"CREATE TABLE nokey (a int)"); err != nil {
		t.Fatal(err)
	}
	r.pollExtra["DATABASE_URL"] = withSecret(t, postgres.DSN, "")
	return r
}

// Everything at once: the check and the start find the same.
func TestCheckReportsEverything(t *testing.T) {
	t.Parallel()
	r := poor(t)
	everything := []string{"wal_level", "nokey", "no_such_table", fmt.Sprint(r.fnPort)}
	t.Run("check, no function", func(t *testing.T) {
		output, code := runOnce(t, binaries(t).Poller, r.pollerEnv(), "check")
		wantReport(t, output, code, 1, everything...)
		wantFixes(t, output, len(everything))
	})
	t.Run("run, no function", func(t *testing.T) {
		output, code := runOnce(t, binaries(t).Poller, r.pollerEnv())
		wantReport(t, output, code, 1, "wal_level", "nokey", "no_such_table")
	})
	r.fnExtra["REDIS_URL"] = r.redisURL("powerless")
	launch(t, "fn", binaries(t).Fn, r.fnEnv())
	r.waitAlive(r.fnURL())
	t.Run("check, Redis refuses", func(t *testing.T) {
		output, code := runOnce(t, binaries(t).Poller, r.pollerEnv(), "check")
		wantReport(t, output, code, 1, "wal_level", "nokey", "no_such_table", "Redis", "NOPERM")
		wantFixes(t, output, 4)
	})
}

// wantFixes wants so many findings that have a why and a fix.
func wantFixes(t *testing.T, output string, least int) {
	t.Helper()
	if n := strings.Count(output, "fix:"); n < least {
		t.Errorf("%d findings say how to fix them, want %d:\n%s", n, least, output)
	}
	if n := strings.Count(output, "why:"); n < least-1 { // that a table does not exist says all
		t.Errorf("%d findings say why, want %d:\n%s", n, least-1, output)
	}
}

func (r *rig) waitAlive(base string) {
	r.Helper()
	eventually(r.T, patience, func() error {
		status, body, err := fetch(base + "/healthz")
		if err == nil && status != 200 {
			err = fmt.Errorf("GET %s/healthz: %d %s", base, status, body)
		}
		return err
	})
}

func TestCheckWithAWrongRedisPassword(t *testing.T) {
	t.Parallel()
	r := newShop(t)
	r.fnExtra["REDIS_URL"] = strings.Replace(r.redisURL("freshet"), secret, secret+"-not", 1)
	launch(t, "fn", binaries(t).Fn, r.fnEnv())
	r.waitAlive(r.fnURL())
	output, code := runOnce(t, binaries(t).Poller, r.pollerEnv(), "check")
	wantReport(t, output, code, 1, "Redis", "WRONGPASS")
}

func TestCheckWithoutRights(t *testing.T) {
	t.Parallel()
	r := newShop(t)
	r.onServer("DROP ROLE IF EXISTS stranger")
	r.onServer("CREATE ROLE stranger LOGIN")
	t.Cleanup(func() { r.exec("DROP OWNED BY stranger"); r.onServer("DROP ROLE stranger") })
	r.pollExtra["DATABASE_URL"] = withSecret(t, world.postgres.Database(r.name), "stranger")
	r.launchFn()
	output, code := runOnce(t, binaries(t).Poller, r.pollerEnv(), "check")
	wantReport(t, output, code, 1, "stranger", "REPLICATION", "products", "orders", "GRANT")
}

func TestCheckWithoutADatabase(t *testing.T) {
	t.Parallel()
	r := newShop(t)
	r.launchFn()
	r.pollExtra["DATABASE_URL"] = fmt.Sprintf("postgres://app:%s@127.0.0.1:%d/shop", secret, stack.FreePort())
	began := time.Now()
	output, code := runOnce(t, binaries(t).Poller, r.pollerEnv(), "check")
	wantReport(t, output, code, 1, "127.0.0.1")
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("it took %s to find out", took)
	}
}
