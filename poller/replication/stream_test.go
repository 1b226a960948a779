package replication_test

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"freshet/local/server"
	"freshet/poller/render"
	"freshet/poller/replication"
	"freshet/shared/change"
	"freshet/shared/config"
)

// transaction receives up to a commit, and returns its end and the letters of its messages.
func transaction(t *testing.T, s *replication.Stream) (end change.LSN, letters string) {
	t.Helper()
	for {
		e := data(t, s)
		letters += string(e.Data[0])
		if e.Data[0] == 'C' {
			return change.LSN(binary.BigEndian.Uint64(e.Data[10:])), letters
		}
	}
}

// data receives up to the next data.
func data(t *testing.T, s *replication.Stream) replication.Event {
	t.Helper()
	for {
		if e, err := s.Receive(); err != nil {
			t.Fatal(err)
		} else if e.Data != nil {
			return e
		}
	}
}

const oneTable = `CREATE TABLE a (id int PRIMARY KEY, v text)`

func TestStream_ConfirmedMovesByFlushAlone(t *testing.T) {
	s := newSource(t, oneTable)
	s.prepare("a")
	stream := s.stream()
	if stream.System == "" || stream.Timeline != 1 || stream.Database != s.Name {
		t.Errorf("the stream is of %q, %d, %q", stream.System, stream.Timeline, stream.Database)
	}
	begin := s.confirmed()
	s.Exec(`INSERT INTO a VALUES (1, 'x')`)
	first, letters := transaction(t, stream)
	if letters != "BRIC" {
		t.Errorf("received %s, want BRIC", letters)
	}
	s.Exec(`INSERT INTO a VALUES (2, 'x')`)
	second, _ := transaction(t, stream)
	if got := stream.Received(); got < first {
		t.Errorf("received %s is before the first commit %s", got, first)
	}
	if err := stream.Report(stream.Received(), second, begin); err != nil {
		t.Fatal(err)
	}
	s.wait("apply to be reported", func() bool {
		return s.Text(`SELECT replay_lsn = $1::pg_lsn FROM pg_stat_replication WHERE application_name = $2`, second.String(), s.config.Slot) == "t"
	})
	if got := s.confirmed(); got != begin {
		t.Errorf("confirmed is %s, want %s", got, begin)
	}
	if err := stream.Report(stream.Received(), second, first); err != nil {
		t.Fatal(err)
	}
	s.wait("the first transaction to be confirmed", func() bool { return s.confirmed() == first })
	if err := stream.Close(); err != nil {
		t.Fatal(err)
	}
	if end, letters := transaction(t, s.stream()); end != second || letters != "BRIC" {
		t.Errorf("after the restart came %s ending at %s, want the second transaction", letters, end)
	}
}

func TestStream_TellsWhenDataWasSent(t *testing.T) {
	s := newSource(t, oneTable)
	s.prepare("a")
	stream := s.stream()
	before := time.Now().Truncate(time.Microsecond)
	s.Exec(`INSERT INTO a VALUES (1, 'x')`)
	if e := data(t, stream); e.Sent.Before(before) || e.Sent.After(time.Now()) { // the server runs here, by the same clock
		t.Errorf("sent at %s, inserted at %s", e.Sent, before)
	}
}

// What was reported last counts, although much that the server has sent was never read.
func TestStream_TheLastReportArrives(t *testing.T) {
	s := newSource(t, oneTable)
	s.prepare("a")
	s.Exec(`INSERT INTO a VALUES (0, '')`)
	for range 3 {
		s.Exec(`TRUNCATE a; INSERT INTO a SELECT i, repeat('x', 1000) FROM generate_series(1, 20000) i`)
		s.Exec(`INSERT INTO a VALUES (0, '')`)
		stream := s.stream()
		end, _ := transaction(t, stream)
		if _, err := stream.Receive(); err != nil { // the next one has begun
			t.Fatal(err)
		}
		if err := stream.Report(end, end, end); err != nil {
			t.Fatal(err)
		}
		if err := stream.Close(); err != nil {
			t.Fatal(err)
		}
		s.wait("the slot to be free", func() bool {
			return s.Text("SELECT active FROM pg_replication_slots WHERE slot_name = $1", s.config.Slot) == "f"
		})
		if got := s.confirmed(); got != end {
			t.Fatalf("confirmed is %s, want %s", got, end)
		}
	}
}

func TestStream_OnlyOneHasTheSlot(t *testing.T) {
	s := newSource(t, oneTable)
	s.prepare("a")
	stream := s.stream()
	if _, err := s.tryStream(nil); !errors.Is(err, replication.ErrSlotInUse) {
		t.Errorf("got %v, want that the slot is in use", err)
	}
	if err := stream.Close(); err != nil {
		t.Fatal(err)
	}
	s.stream()
}

func TestStream_ConnectExplains(t *testing.T) {
	s := newSource(t, oneTable)
	s.config.DatabaseURL = config.Secret(strings.Replace(s.DSN, "postgres@", "postgres:geheim@", 1))
	if _, err := s.tryStream(nil); err == nil || strings.Contains(err.Error(), "geheim") || !strings.Contains(err.Error(), s.config.Slot) {
		t.Errorf("got %v, want an error about the slot", err)
	}
	s.config.DatabaseURL = "postgres://postgres:geheim@127.0.0.1:1/x"
	if _, err := s.tryStream(nil); err == nil || strings.Contains(err.Error(), "geheim") {
		t.Errorf("got %v, want an error without the password", err)
	}
	s.config.DatabaseURL = "postgres://postgres:geheim@[::1/x"
	if _, err := s.tryStream(nil); err == nil || strings.Contains(err.Error(), "geheim") {
		t.Errorf("got %v, want an error without the password", err)
	}
}

func TestStream_RefusesAZeroFlush(t *testing.T) {
	s := newSource(t, oneTable)
	s.prepare("a")
	stream, before := s.stream(), s.confirmed()
	s.Exec(`INSERT INTO a VALUES (1, 'x')`)
	end, _ := transaction(t, stream)
	if err := stream.Report(end, end, 0); err == nil {
		t.Error("a zero flush was sent")
	}
	if err := stream.Report(end, 0, before); err != nil {
		t.Error(err)
	}
	if got := s.confirmed(); got != before {
		t.Errorf("confirmed is %s, want %s", got, before)
	}
}

func TestStream_InterruptEndsReceive(t *testing.T) {
	s := newSource(t, oneTable)
	s.prepare("a")
	stream := s.stream()
	failed := make(chan error, 1)
	go func() {
		for {
			if _, err := stream.Receive(); err != nil {
				failed <- err
				return
			}
		}
	}()
	if err := stream.Report(1, 1, s.confirmed()); err != nil {
		t.Fatal(err)
	}
	stream.Interrupt()
	select {
	case err := <-failed:
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v, want the deadline", err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("Receive did not return")
	}
	if _, err := stream.Receive(); err == nil {
		t.Error("Receive goes on after Interrupt")
	}
	if err := stream.Report(1, 1, s.confirmed()); err != nil {
		t.Errorf("a report after Interrupt: %v", err)
	}
	if err := stream.Close(); err != nil {
		t.Error(err)
	}
	stream.Interrupt() // of a closed stream does nothing
}

func TestStream_AnIdleServerAsksForReports(t *testing.T) {
	s := newSource(t, oneTable)
	s.prepare("a")
	stream := s.with("wal_sender_timeout", "600").stream()
	began := time.Now()
	for {
		e, err := stream.Receive()
		if err != nil {
			t.Fatal(err)
		}
		if e.Data != nil || e.LSN == 0 {
			t.Fatalf("received %+v, want keepalives", e)
		}
		if e.Reply {
			break
		}
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	if !stream.Drained() {
		t.Error("something is said to wait")
	}
}

// held is a progress whose confirmation stays behind, as the replay window has it.
type held struct {
	stream    *replication.Stream
	confirmed atomic.Uint64
	up        bool // confirm all that was received
}

func (h *held) Applied() change.LSN { return h.stream.Received() }

func (h *held) Confirmable(time.Time) change.LSN {
	if h.up {
		return max(h.stream.Received(), change.LSN(h.confirmed.Load()))
	}
	return change.LSN(h.confirmed.Load())
}

func TestStream_LetsAServerShutDown(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a server of its own")
	}
	if found, err := server.Find(); found.PostgresBin == "" {
		server.Missing(t, err)
	}
	own, err := server.StartPostgres(t.Context(), server.PostgresOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := own.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, up := range []bool{false, true} {
		if err := own.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		shutDown(t, own, up)
	}
}

func shutDown(t *testing.T, own *server.Postgres, up bool) {
	c := replication.Config{DatabaseURL: config.Secret(own.DSN), Slot: "s", Publication: "p"}
	conn := source{t: t, config: c}.connect()
	for _, sql := range []string{`DROP TABLE IF EXISTS a`, oneTable, `DROP PUBLICATION IF EXISTS p`, `CREATE PUBLICATION p FOR TABLE a`,
		`SELECT pg_create_logical_replication_slot('s', 'pgoutput') WHERE NOT EXISTS (SELECT FROM pg_replication_slots)`, `INSERT INTO a VALUES (1, 'x')`} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	begin, err := replication.Confirmed(t.Context(), conn, "s")
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close(t.Context())
	stream, err := source{t: t, config: c}.tryStream(render.Pin())
	if err != nil {
		t.Fatal(err)
	}
	progress := &held{stream: stream, up: up}
	progress.confirmed.Store(uint64(begin))
	reporter := &replication.Reporter{Stream: stream, Progress: progress, Every: time.Second, Kick: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	reported := make(chan error, 1)
	go func() { reported <- reporter.Run(ctx) }()
	transaction(t, stream)
	ended := make(chan error, 1)
	go func() {
		for {
			e, err := stream.Receive()
			if err != nil {
				cancel()
				<-reported // with an error when the server was faster
				_ = stream.Close()
				ended <- err
				return
			}
			if e.Reply {
				select {
				case reporter.Kick <- struct{}{}:
				default:
				}
			}
		}
	}()
	began := time.Now()
	if err := own.Stop("fast"); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("all confirmed: %v: the shutdown took %s", up, took)
	}
	if err := <-ended; !errors.Is(err, replication.ErrServerStopping) {
		t.Errorf("all confirmed: %v: the stream ended with %v", up, err)
	}
}

func TestReporter_ReportsAtOnceAndOnRequest(t *testing.T) {
	s := newSource(t, oneTable)
	s.prepare("a")
	stream := s.stream()
	progress := &held{stream: stream}
	progress.confirmed.Store(uint64(s.confirmed()))
	seen := make(chan change.LSN, 100)
	reporter := &replication.Reporter{Stream: stream, Progress: progress, Every: time.Hour, Kick: make(chan struct{}, 1), Seen: func(_, _, confirmed change.LSN) { seen <- confirmed }}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- reporter.Run(ctx) }()
	<-seen
	s.Exec(`INSERT INTO a VALUES (1, 'x')`)
	end, _ := transaction(t, stream)
	progress.confirmed.Store(uint64(end))
	reporter.Kick <- struct{}{}
	if got := <-seen; got != end {
		t.Errorf("reported %s, want %s", got, end)
	}
	s.wait("the report to arrive", func() bool { return s.confirmed() == end })
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	_ = stream.Close()
	if err := reporter.Report(); err == nil {
		t.Error("a report on a closed connection succeeded")
	}
}
