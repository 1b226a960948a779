package replication_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"freshet/local/pgtest"
	"freshet/poller/catalog"
	"freshet/poller/render"
	"freshet/poller/replication"
	"freshet/shared/change"
	"freshet/shared/config"
	"freshet/shared/problem"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// source is a database and how the poller is told of it.
type source struct {
	*pgtest.Database
	t      *testing.T
	config replication.Config
}

func newSource(t *testing.T, sql string) source {
	s := source{Database: pgtest.New(t), t: t}
	s.config = replication.Config{DatabaseURL: config.Secret(s.DSN), Slot: s.Slot(), Publication: "p", StatusEvery: 10 * time.Second}
	if sql != "" {
		s.Exec(sql)
	}
	return s
}

// as is the same for another role; the server trusts everybody.
func (s source) as(role string) source {
	s.t.Helper()
	u, err := url.Parse(s.DSN)
	if err != nil {
		s.t.Fatal(err)
	}
	u.User = url.User(role)
	s.config.DatabaseURL = config.Secret(u.String())
	return s
}

// with adds a parameter to the connection string.
func (s source) with(name, value string) source {
	s.t.Helper()
	u, err := url.Parse(s.config.DatabaseURL.Reveal())
	if err != nil {
		s.t.Fatal(err)
	}
	q := u.Query()
	q.Set(name, value)
	u.RawQuery = q.Encode()
	s.config.DatabaseURL = config.Secret(u.String())
	return s
}

func (s source) connect() *pgx.Conn {
	s.t.Helper()
	conn, err := pgx.Connect(s.t.Context(), s.config.DatabaseURL.Reveal())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// check runs the preflight for a list of tables. What it says of the server's own settings is left out: the server may not be ours.
func (s source) check(tables string) (replication.Survey, problem.List) {
	s.t.Helper()
	survey, found := s.checkAll(tables, false)
	return survey, slices.DeleteFunc(found, func(e *problem.Error) bool { return strings.Contains(e.Why, "max_slot_wal_keep_size is -1") })
}

// checkAll leaves out nothing.
func (s source) checkAll(tables string, renew bool) (replication.Survey, problem.List) {
	s.t.Helper()
	patterns, err := catalog.ParsePatterns(tables)
	if err != nil {
		s.t.Fatal(err)
	}
	conn := s.connect()
	if _, err := conn.Exec(s.t.Context(), "SET row_security = off"); err != nil {
		s.t.Fatal(err)
	}
	survey, found, err := replication.Check(s.t.Context(), conn, s.config, patterns, renew, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return survey, found
}

// prepare makes publication and slot.
func (s source) prepare(tables string) (made bool) {
	s.t.Helper()
	survey, found := s.check(tables)
	if len(found) > 0 {
		s.t.Fatal(found)
	}
	made, err := replication.Prepare(s.t.Context(), s.connect(), s.config, survey, quiet)
	if err != nil {
		s.t.Fatal(err)
	}
	return made
}

// tryStream connects and acquires the slot.
func (s source) tryStream(pins map[string]string) (*replication.Stream, error) {
	conn, err := replication.Connect(s.t.Context(), s.config, pins)
	if err != nil {
		return nil, err
	}
	return conn.Start(s.t.Context())
}

func (s source) stream() *replication.Stream {
	s.t.Helper()
	// A slot is released a moment after its walsender has noticed that the client is gone.
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		stream, err := s.tryStream(render.Pin())
		if err == nil {
			s.t.Cleanup(func() { _ = stream.Close() }) // again, perhaps
			return stream
		}
		if !errors.Is(err, replication.ErrSlotInUse) || time.Now().After(end) {
			s.t.Fatal(err)
		}
	}
}

func (s source) confirmed() change.LSN {
	s.t.Helper()
	lsn, err := change.ParseLSN(s.Text("SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = $1", s.config.Slot))
	if err != nil {
		s.t.Fatal(err)
	}
	return lsn
}

func (s source) wait(what string, reached func() bool) {
	s.t.Helper()
	for end := time.Now().Add(10 * time.Second); !reached(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("waited in vain for %s", what)
		}
	}
}
