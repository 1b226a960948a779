package poller_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"freshet/poller"
	"freshet/shared/change"
	"freshet/shared/config"
	"freshet/shared/problem"
)

// needed are the settings without which nothing starts.
var needed = map[string]string{"DATABASE_URL": "postgres://u:geheim@127.0.0.1:1/shop", "POLLER_FUNCTION_URL": "http://127.0.0.1:8080", "POLLER_TABLES": "products"}

// load reads the settings with these variables, and nothing else of ours, in the environment.
func load(t *testing.T, variables map[string]string) (c poller.Config, found problem.List) {
	t.Helper()
	for _, entry := range os.Environ() {
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "POLLER_") || name == "DATABASE_URL" {
			t.Setenv(name, "") // so that it is put back
			os.Unsetenv(name)
		}
	}
	for name, value := range variables {
		t.Setenv(name, value)
	}
	err := config.Load(poller.Prefix, &c)
	if err != nil && !errors.As(err, &found) {
		t.Fatal(err)
	}
	for name := range variables {
		os.Unsetenv(name)
	}
	return c, found
}

func with(more map[string]string) map[string]string {
	all := map[string]string{}
	for name, value := range needed {
		all[name] = value
	}
	for name, value := range more {
		all[name] = value
	}
	return all
}

// wantNamed wants one finding for each variable, each with a fix, and no secret in any.
func wantNamed(t *testing.T, found problem.List, names ...string) {
	t.Helper()
	text := found.Error()
	for _, name := range names {
		if !strings.Contains(text, name) {
			t.Errorf("%s is not named in %v", name, found)
		}
	}
	if len(found) != len(names) {
		t.Errorf("%d findings, want %d: %v", len(found), len(names), found)
	}
	for _, f := range found {
		if f.Fix == "" {
			t.Errorf("%q has no fix", f.What)
		}
	}
	if strings.Contains(text, "geheim") {
		t.Errorf("a password is in %v", found)
	}
}

func TestConfig_Defaults(t *testing.T) {
	c, found := load(t, needed)
	wantNamed(t, found)
	if c.Slot != "freshet" || c.Publication != "freshet" || c.Sink.Sink != "freshet" || c.Lanes.Lanes != 8 || c.ReplayWindow != time.Minute || c.Backfill.Backfill != "initial" || !bool(c.Fence) || c.AdminAddr != "127.0.0.1:9090" || c.ExitWhenIdle != 0 || len(c.Causes()) != len(change.Repairs) || c.SlotWarnBytes != 4<<30 || c.GuardEvery != 10*time.Second {
		t.Errorf("defaults are %+v", c)
	}
	if text := fmt.Sprintf("%v %+v %#v", c, c, c); strings.Contains(text, "geheim") {
		t.Error("the settings print the password")
	}
}

func TestConfig_EveryMissingMalformedAndMisspeltVariableInOneReport(t *testing.T) {
	_, found := load(t, map[string]string{"POLLER_SLOT_WARN_BYTES": "4GiBs", "POLLER_LANES": "many", "POLLER_TIMEOUT": "10", "POLLER_FENCE": "maybe", "POLLER_REPLAY_WINDOW": "", "POLLER_SLOTT": "x", "POLLER_LOG_LEVEL": "loud"})
	wantNamed(t, found, "DATABASE_URL", "POLLER_FUNCTION_URL", "POLLER_TABLES", "POLLER_LANES", "POLLER_TIMEOUT", "POLLER_FENCE", "POLLER_REPLAY_WINDOW", "POLLER_SLOTT", "POLLER_LOG_LEVEL", "POLLER_SLOT_WARN_BYTES is not a size")
}

func TestConfig_EveryBadValueInOneReport(t *testing.T) {
	_, found := load(t, with(map[string]string{
		"DATABASE_URL": "postgres://u:geheim@h:port/d", "POLLER_FUNCTION_URL": "ftp://u:geheim@x", "POLLER_TABLES": "a,,b", "POLLER_SLOT": "My Slot", "POLLER_PUBLICATION": "a;b",
		"POLLER_STATUS_EVERY": "0s", "POLLER_SINK": "a b", "POLLER_TIMEOUT": "-1s", "POLLER_HEARTBEAT": "0s", "POLLER_RETRY_MAX": "0s", "POLLER_HOLD_PAUSE": "-5s", "POLLER_REPLAY_WINDOW": "-1s",
		"POLLER_RECORD_KEEP": "0", "POLLER_LOG_FORMAT": "xml", "POLLER_LANES": "0", "POLLER_BATCH_MESSAGES": "-1", "POLLER_BATCH_BYTES": "1", "POLLER_BUFFER_BYTES": "1",
		"POLLER_BACKFILL": "yes", "POLLER_BACKFILL_PAGES": "0", "POLLER_EXIT_WHEN_IDLE": "-1s",
		"POLLER_REPAIR": "slots", "POLLER_GUARD_EVERY": "1ms", "POLLER_SLOT_WARN_BYTES": "0",
	}))
	wantNamed(t, found, "DATABASE_URL", "POLLER_FUNCTION_URL", "POLLER_TABLES", "POLLER_SLOT", "POLLER_PUBLICATION", "POLLER_STATUS_EVERY", "POLLER_SINK is", "POLLER_TIMEOUT", "POLLER_HEARTBEAT", "POLLER_RETRY_MAX",
		"POLLER_HOLD_PAUSE", "POLLER_REPLAY_WINDOW", "POLLER_RECORD_KEEP", "LOG_FORMAT", "POLLER_LANES", "POLLER_BATCH_MESSAGES", "POLLER_BATCH_BYTES", "POLLER_BUFFER_BYTES", `POLLER_BACKFILL is`, "POLLER_BACKFILL_PAGES", "POLLER_EXIT_WHEN_IDLE",
		"POLLER_REPAIR", "POLLER_GUARD_EVERY", "POLLER_SLOT_WARN_BYTES")
}

func TestConfig_Tables(t *testing.T) {
	for tables, good := range map[string]bool{
		"products,public.orders": true, "shop.*": true, `"My Shop"."a.b", x`: true, "products WHERE (price > 10)": true,
		" ": false, ",": false, "*": false, "a,a": false, "a.b.c": false, "a b": false, `"a`: false, "a WHERE price > 10": false,
	} {
		_, found := load(t, with(map[string]string{"POLLER_TABLES": tables}))
		if good != (len(found) == 0) {
			t.Errorf("%q: %v", tables, found)
		}
		if !good && !strings.Contains(found.Error(), "POLLER_TABLES") {
			t.Errorf("%q: %v does not name the variable", tables, found)
		}
	}
}

func TestNew(t *testing.T) {
	c, _ := load(t, with(map[string]string{"POLLER_RECORD_DIR": filepath.Join(t.TempDir(), "new", "folder")}))
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	if _, err := poller.New(c, log); err != nil {
		t.Error(err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c.RecordDir = filepath.Join(file, "x")
	if _, err := poller.New(c, log); err == nil {
		t.Error("a folder that cannot be made was accepted")
	}
	c.RecordDir, c.Tables = "", "a,,b"
	if _, err := poller.New(c, log); err == nil {
		t.Error("tables that cannot be read were accepted")
	}
}
