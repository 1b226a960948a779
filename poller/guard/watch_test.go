package guard_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"freshet/local/server"
	"freshet/poller/admin"
	"freshet/poller/guard"
	"freshet/shared/config"
)

// source is a server that gives a slot up early.
type source struct {
	*testing.T
	*server.Postgres
	conn  *pgx.Conn
	major int
}

func newSource(t *testing.T) *source {
	t.Helper()
	found, err := server.Find()
	if found.PostgresBin == "" {
		server.Missing(t, err)
	}
	p, err := server.StartPostgres(t.Context(), server.PostgresOptions{Settings: map[string]string{
		"max_slot_wal_keep_size": "64MB", "min_wal_size": "32MB", "max_wal_size": "32MB", "max_prepared_transactions": "3",
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	s := &source{T: t, Postgres: p, major: found.PostgresMajor}
	s.conn = s.connect("postgres")
	return s
}

func (s *source) connect(user string) *pgx.Conn {
	s.Helper()
	conn, err := pgx.Connect(s.Context(), strings.Replace(s.DSN, "postgres@", user+"@", 1))
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func (s *source) exec(conn *pgx.Conn, sql string) {
	s.Helper()
	if _, err := conn.Exec(s.Context(), sql); err != nil {
		s.Fatalf("%s: %v", sql, err)
	}
}

func (s *source) inspect(conn *pgx.Conn) guard.Report {
	s.Helper()
	r, err := guard.Inspect(s.Context(), conn, "s", time.Now())
	if err != nil {
		s.Fatal(err)
	}
	return r
}

// write makes so many megabytes of log.
func (s *source) write(megabytes int) {
	s.Helper()
	s.exec(s.conn, fmt.Sprintf("SELECT pg_logical_emit_message(true, 'test', repeat('x', 1 << 20)) FROM generate_series(1, %d)", megabytes))
}

func TestInspect(t *testing.T) {
	s := newSource(t)
	if r := s.inspect(s.conn); r.Exists || r.WALStatus != "" || r.EndLSN == "" || r.LimitBytes != 64*mib || r.Oldest != nil {
		t.Errorf("no slot: %+v", r)
	}
	s.exec(s.conn, "SELECT pg_create_logical_replication_slot('s', 'pgoutput')")
	r := s.inspect(s.conn)
	if !r.Exists || r.Active || r.WALStatus != "reserved" || r.SafeBytes == nil || *r.SafeBytes < 48*mib || r.RestartLSN == "" || r.ConfirmedLSN == "" || r.Invalidation != "" {
		t.Errorf("a new slot: %+v", r)
	}
	for _, c := range []struct {
		column string
		since  int
		there  bool
	}{{"conflicting", 16, r.Conflicting != nil}, {"failover", 17, r.Failover != nil}, {"synced", 17, r.Synced != nil}} {
		if c.there != (s.major >= c.since) {
			t.Errorf("%s is there: %v", c.column, c.there)
		}
	}
	if s.major >= 17 {
		time.Sleep(10 * time.Millisecond) // a time that can be told from none
		if r := s.inspect(s.conn); r.InactiveSeconds <= 0 || r.InactiveSeconds > 60 {
			t.Errorf("inactive for %v seconds", r.InactiveSeconds)
		}
	}
	s.write(10)
	if r := s.inspect(s.conn); r.RetainedBytes < 10*mib || r.RetainedBytes > 12*mib || r.ConfirmedLagBytes < 10*mib || r.ConfirmedLagBytes > r.RetainedBytes {
		t.Errorf("after 10 MiB: %+v", r)
	}
	for range 20 {
		if s.write(16); s.inspect(s.conn).WALStatus == "lost" {
			break
		}
		s.exec(s.conn, "CHECKPOINT")
	}
	r = s.inspect(s.conn)
	if r.WALStatus != "lost" || r.SafeBytes != nil || s.major >= 17 && r.Invalidation != "wal_removed" {
		t.Errorf("after far more than it may keep: %+v", r)
	}
}

func TestInspect_Transactions(t *testing.T) {
	s := newSource(t)
	s.exec(s.conn, "CREATE TABLE a (id int); CREATE ROLE stranger LOGIN REPLICATION")
	s.exec(s.conn, "SELECT pg_create_logical_replication_slot('s', 'pgoutput')")
	reader, writer, younger, stranger := s.connect("postgres"), s.connect("postgres"), s.connect("postgres"), s.connect("stranger")
	s.exec(reader, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT * FROM a") // keeps no log
	if r := s.inspect(s.conn); r.Oldest != nil {
		t.Errorf("a reader is said to keep log: %+v", r.Oldest)
	}
	s.exec(writer, "BEGIN; INSERT INTO a VALUES (1)")
	s.exec(younger, "BEGIN; INSERT INTO a VALUES (2)")
	pid := int32(writer.PgConn().PID())
	if r := s.inspect(s.conn); r.Oldest == nil || r.Oldest.PID != pid || r.Oldest.OpenSeconds <= 0 {
		t.Errorf("the oldest is %+v, want pid %d", r.Oldest, pid)
	}
	// A role without pg_read_all_stats sees that there is one, and counts the time itself.
	before := s.inspect(stranger)
	if before.Oldest == nil || before.Oldest.PID != pid || before.Oldest.OpenSeconds != 0 {
		t.Errorf("a stranger sees %+v", before.Oldest)
	}
	after := s.inspect(stranger)
	after.Checked = before.Checked.Add(2 * time.Hour)
	if after = after.Since(before); after.Oldest.OpenSeconds != 7200 {
		t.Errorf("a stranger counts %+v", after.Oldest)
	}
	s.exec(writer, "PREPARE TRANSACTION 'it''s'")
	if r := s.inspect(stranger); r.Oldest == nil || r.Oldest.Prepared != "it's" || r.Oldest.PID != 0 || r.Oldest.OpenSeconds <= 0 {
		t.Errorf("the oldest is %+v, want the prepared one", r.Oldest)
	}
	s.exec(writer, "ROLLBACK PREPARED 'it''s'")
	s.exec(younger, "ROLLBACK")
	if r := s.inspect(s.conn); r.Oldest != nil {
		t.Errorf("all have ended: %+v", r.Oldest)
	}
}

// journal is a log that can be read while it is written.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *journal) count(text string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Count(j.text.String(), text)
}

// The watcher warns once, exports, answers the admin page, and finds its way back after the server was away.
func TestWatcher(t *testing.T) {
	s := newSource(t)
	s.exec(s.conn, "SELECT pg_create_logical_replication_slot('s', 'pgoutput')")
	log := &journal{}
	w := &guard.Watcher{
		Config: guard.Config{GuardEvery: 100 * time.Millisecond, SlotWarnBytes: 10 * mib}, DatabaseURL: config.Secret(s.DSN), Slot: "s",
		Metrics: admin.NewMetrics(), Log: slog.New(slog.NewTextHandler(log, nil)),
		Stuck: func(int32) { t.Error("nobody streams, and yet somebody is stuck") },
	}
	page := func() (status int, body string) {
		answer := httptest.NewRecorder()
		w.ServeHTTP(answer, httptest.NewRequest("GET", admin.RouteSlot, nil))
		return answer.Code, answer.Body.String()
	}
	if status, body := page(); status != 503 || !strings.Contains(body, "not been looked at yet") {
		t.Errorf("before the first look: %d %s", status, body)
	}
	ctx, stop := context.WithCancel(t.Context())
	over := make(chan struct{})
	go func() { defer close(over); w.Run(ctx) }()
	wait := func(what string, reached func() bool) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); !reached(); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("waited in vain for %s; the log:\n%s", what, log.text.String())
			}
		}
	}
	wait("the first look", func() bool { status, _ := page(); return status == 200 })
	s.write(11)
	wait("the warning", func() bool { return log.count("keeps 11") == 1 })
	looked := w.Seen().Checked
	wait("more looks", func() bool { return w.Seen().Checked.After(looked.Add(time.Second / 2)) })
	if n := log.count("of write-ahead log"); n != 1 {
		t.Errorf("it was said %d times", n)
	}
	_, body := page()
	var shown struct {
		Exists   bool
		Warnings []struct{ Kind, Fix string }
	}
	if err := json.Unmarshal([]byte(body), &shown); err != nil || !shown.Exists || len(shown.Warnings) != 1 || shown.Warnings[0].Kind != "retained" || shown.Warnings[0].Fix == "" {
		t.Errorf("the admin page: %v %s", err, body)
	}
	if got := gauge(t, w.Metrics, "freshet_slot_retained_bytes", ""); got < float64(11*mib) {
		t.Errorf("the gauge says %v", got)
	}
	if got := gauge(t, w.Metrics, "freshet_slot_wal_status", "reserved"); got != 1 {
		t.Errorf("reserved is %v", got)
	}

	if err := s.Stop("immediate"); err != nil {
		t.Fatal(err)
	}
	wait("trouble on the page", func() bool { _, body := page(); return strings.Contains(body, `"trouble"`) })
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	wait("looks again", func() bool { _, body := page(); return !strings.Contains(body, `"trouble"`) })
	s.conn = s.connect("postgres")
	s.exec(s.conn, "SELECT pg_drop_replication_slot('s')")
	wait("the end of the warning", func() bool { return log.count("is over") == 1 })
	if got := gauge(t, w.Metrics, "freshet_slot_wal_status", "missing"); got != 1 {
		t.Errorf("missing is %v", got)
	}
	stop()
	select {
	case <-over:
	case <-time.After(3 * time.Second):
		t.Error("it does not stop")
	}
}

// gauge reads one series.
func gauge(t *testing.T, m *admin.Metrics, name, label string) float64 {
	t.Helper()
	families, err := m.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, series := range f.GetMetric() {
			if f.GetName() == name && (label == "" || series.GetLabel()[0].GetValue() == label) {
				return series.GetGauge().GetValue()
			}
		}
	}
	t.Fatalf("there is no %s %s", name, label)
	return 0
}
