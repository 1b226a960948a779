package poller_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"freshet/local/pgtest"
	"freshet/local/stack"
	"freshet/poller"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// source is a database with a role, and what a poller of that role says.
type source struct {
	*pgtest.Database
	t    *testing.T
	role string
	mu   sync.Mutex
	log  bytes.Buffer
}

// newSource makes a role with these options that owns an empty table.
func newSource(t *testing.T, options string) *source {
	s := &source{Database: pgtest.New(t), t: t}
	s.role = s.Name + "_role"
	s.Exec(fmt.Sprintf("CREATE ROLE %s LOGIN %s; CREATE TABLE a (id int PRIMARY KEY); ALTER TABLE a OWNER TO %[1]s; GRANT CREATE ON DATABASE %[3]s TO %[1]s", s.role, options, s.Name))
	t.Cleanup(func() { s.Exec(fmt.Sprintf("DROP OWNED BY %s CASCADE; DROP ROLE %[1]s", s.role)) })
	return s
}

func (s *source) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.Write(b)
}

func (s *source) says(what string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Contains(s.log.String(), what)
}

// poller is one without a function: no session is opened, and nothing is read.
func (s *source) poller() *poller.Poller {
	s.t.Helper()
	c, found := load(s.t, with(map[string]string{
		"DATABASE_URL": strings.Replace(s.DSN, "postgres@", s.role+"@", 1), "POLLER_TABLES": "a", "POLLER_FENCE": "off", "POLLER_BACKFILL": "off",
		"POLLER_SLOT": s.Slot(), "POLLER_PUBLICATION": "p", "POLLER_ADMIN_ADDR": fmt.Sprintf("127.0.0.1:%d", stack.FreePort()),
	}))
	if len(found) > 0 {
		s.t.Fatal(found)
	}
	p, err := poller.New(c, slog.New(slog.NewTextHandler(s, nil)))
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

func (s *source) connections() string {
	s.t.Helper()
	return s.Text("SELECT count(*) FROM pg_stat_activity WHERE usename = $1", s.role)
}

// sender is the process that streams from the slot; empty when there is none.
func (s *source) sender() string {
	s.t.Helper()
	return s.Text("SELECT active_pid FROM pg_replication_slots WHERE slot_name = $1", s.Slot())
}

func (s *source) streams() bool { return s.sender() != "" }

func (s *source) wait(what string, reached func() bool) {
	s.t.Helper()
	for end := time.Now().Add(20 * time.Second); !reached(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("waited in vain for %s; the log:\n%s", what, s.log.String())
		}
	}
}

func (s *source) wantNoConnections() {
	s.t.Helper()
	s.wait("the end of all connections", func() bool { return s.connections() == "0" })
}

// The replication connection is refused while the preflight finds out why.
func TestRun_ThePreflightExplains(t *testing.T) {
	s := newSource(t, "")
	err := s.poller().Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "may not replicate") || strings.Contains(err.Error(), "connection") {
		t.Errorf("got %v, want what the preflight has found", err)
	}
	s.wantNoConnections()
}

// A connection that cannot be had may be had later: nothing is given up, and nothing kept meanwhile.
func TestRun_TooFewConnections(t *testing.T) {
	s := newSource(t, "REPLICATION CONNECTION LIMIT 2")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	p := s.poller()
	go func() { ended <- p.Run(ctx) }()
	s.wait("the refusal", func() bool { return s.says("too many connections for role") })
	select {
	case err := <-ended:
		t.Fatalf("the poller has ended: %v", err)
	default:
	}
	s.Exec(fmt.Sprintf("ALTER ROLE %s CONNECTION LIMIT -1", s.role))
	s.wait("the stream", s.streams)
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	s.wantNoConnections()
}

// A poller that stands by looks every second, and opens one connection for it.
func TestRun_StandsBy(t *testing.T) {
	if testing.Short() {
		t.Skip("takes several seconds")
	}
	s := newSource(t, "REPLICATION")
	holding, release := context.WithCancel(t.Context())
	defer release()
	ended := make(chan error, 2)
	holder := s.poller()
	go func() { ended <- holder.Run(holding) }()
	s.wait("the stream", s.streams)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	waiter := s.poller()
	go func() { ended <- waiter.Run(ctx) }()
	s.wait("the other to stand by", func() bool { return s.says("standing by") })
	sessions := func() (n int) {
		time.Sleep(time.Second) // until Postgres has counted those that are over
		if err := s.QueryRow("SELECT sessions FROM pg_stat_database WHERE datname = $1", s.Name).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := sessions()
	time.Sleep(2 * time.Second)                                  // one that stands by looks about twice in it, and is to open little for that
	if opened := sessions() - before; opened < 2 || opened > 5 { // three looks and the guards'
		t.Errorf("%d connections were opened in three seconds", opened)
	}
	held := s.sender()
	release()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	s.wait("the other to take over", func() bool { now := s.sender(); return now != "" && now != held })
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	s.wantNoConnections()
}
