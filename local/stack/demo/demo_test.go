package demo

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"freshet/local/pgtest"
	"freshet/local/redistest"
	"freshet/local/server"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func TestRun_ShowsTheKeyAndLeavesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("takes ten seconds and builds both programs")
	}
	if _, err := server.Find(); err != nil {
		server.Missing(t, err)
	}
	temporary := t.TempDir()
	for _, dir := range []string{temporary, filepath.Dir(temporary)} { // as the system's own: Postgres' account passes through
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("TMPDIR", temporary)
	for _, name := range []string{"DATABASE_URL", "REDIS_URL"} {
		t.Setenv(name, "")
	}
	running := filepath.Join(t.TempDir(), "running.env")
	var out bytes.Buffer
	if err := Run(t.Context(), &out, Options{Rate: 200, Duration: 5 * time.Second, Running: running}); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if got := out.String(); !strings.Contains(got, `✓ sequin:products:42 = {"id":42,`) {
		t.Errorf("no key was seen equal to its row:\n%s", got)
	}
	if left, _ := filepath.Glob(filepath.Join(temporary, "freshet-*")); len(left) > 0 {
		t.Errorf("left behind: %s", left)
	}
	if _, err := os.Stat(running); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("left behind: %s", running)
	}
}

func TestRun_MirrorsAnothersDatabaseWithoutSelling(t *testing.T) {
	if testing.Short() {
		t.Skip("takes ten seconds and builds both programs")
	}
	db := pgtest.New(t)
	r := redistest.New(t)
	db.Exec(`CREATE SCHEMA "My"; CREATE TABLE "My".things (b text, a int, v numeric, PRIMARY KEY (a, b)); INSERT INTO "My".things VALUES ('x', 1, 2.50)`)
	t.Setenv("DATABASE_URL", db.DSN)
	t.Setenv("REDIS_URL", r.URL)
	t.Setenv("POLLER_TABLES", `"My".things`)
	t.Setenv("POLLER_SLOT", db.Slot())
	var out bytes.Buffer
	if err := Run(t.Context(), &out, Options{Rate: 200, Duration: 4 * time.Second}); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, want := range []string{`✓ sequin:things:1-x = {"b":"x","a":1,"v":2.50}`, "pg_drop_replication_slot('" + db.Slot() + "')", "keys stay in your Redis"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not say %s:\n%s", want, out.String())
		}
	}
	if got := db.Text("SELECT count(*) FROM pg_class WHERE relname = 'products'"); got != "0" {
		t.Error("the shop was let in")
	}
}

func TestRun_WantsTablesForAnothersDatabase(t *testing.T) {
	t.Setenv("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none")
	t.Setenv("POLLER_TABLES", "")
	err := Run(context.Background(), &bytes.Buffer{}, Options{Rate: 1})
	if err == nil || !strings.Contains(err.Error(), "POLLER_TABLES is needed") {
		t.Errorf("got %v", err)
	}
}

func TestSamples_AddUp(t *testing.T) {
	lines, err := readSamples(strings.NewReader(`# HELP freshet_batches_total x
freshet_batches_total{outcome="retry"} 5
freshet_batches_total{outcome="settled"} 7
freshet_batches_total_more 100
freshet_lag_seconds 2.5e-01
go_goroutines 9
`))
	if err != nil {
		t.Fatal(err)
	}
	if got := lines.sum("freshet_batches_total"); got != 12 {
		t.Errorf("got %v, want 12", got)
	}
	if got := lines.sum("freshet_batches_total", `outcome="settled"`); got != 7 {
		t.Errorf("got %v, want 7", got)
	}
	if got := lines.sum("freshet_lag_seconds"); got != 0.25 {
		t.Errorf("got %v, want 0.25", got)
	}
}

func TestDisplay_IsAligned(t *testing.T) {
	var out bytes.Buffer
	d := newDisplay(&out)
	at := time.Now()
	d.begin(reading{at: at})
	d.row(reading{at: at.Add(time.Second), changed: 1234, messages: 1200, batches: 80, keys: 1100, lag: 12 * time.Millisecond,
		sample: sample{key: "k", value: "v", equal: true}})
	d.row(reading{at: at.Add(3 * time.Second), changed: 1240, messages: 1200, batches: 80, keys: 247900, lag: 1200 * time.Millisecond,
		sample: sample{key: "k", value: "old"}})
	want := "\n" + header + `
   1 s     1,234        1,200          80     1,100   12 ms     ✓ k = v
   3 s         3            0           0   123,400   1.2 s     … k = old
`
	if got := out.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestDisplay_CutsToTheTerminal(t *testing.T) {
	d := display{width: 5}
	if got, want := d.cut("✓✓✓✓✓✓"), "✓✓✓✓…"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := d.cut("✓✓✓✓✓"), "✓✓✓✓✓"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestWarnings_PassOnWholeLines(t *testing.T) {
	var out bytes.Buffer
	w := newDisplay(&out).warnings("poller")
	for _, part := range []string{"level=INFO msg=a\nlevel=WA", "RN msg=b\nlevel=INFO", " msg=c\n"} {
		if _, err := w.Write([]byte(part)); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := out.String(), "  poller: level=WARN msg=b\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
