package backfill_test

import (
	"fmt"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"freshet/poller/backfill"
	"freshet/shared/change"
)

// The time that a runner needs for a page, the server's included: a table of the shape that local/bench has.
func BenchmarkRunner(b *testing.B) {
	const rows = 200_000
	s := newStage(b, `CREATE TABLE items (id bigint PRIMARY KEY, sku text NOT NULL, name text NOT NULL, price numeric(12,2), stock int,
		active boolean, weight double precision, created_at timestamptz, note text);
		INSERT INTO items SELECT n, 'sku-' || n, 'Item number ' || n, n % 1000 + 0.99, n % 100, n % 3 = 0, n / 7.0, '2026-01-01'::timestamptz + n * interval '1 second', repeat('x', n % 60) FROM generate_series(1, 200000) n`)
	s.Exec("VACUUM ANALYZE items")
	layout := s.layout("items")
	b.ReportAllocs()
	ours, servers := processorTime(b), time.Duration(0)
	for b.Loop() {
		s.runner.Limits.BackfillPageBytes = 1 << 20
		s.run(backfill.Task{Layout: layout, Progress: change.Backfill{State: change.BackfillPending}})
		for s.next = 0; !s.runner.Idle(); {
			if p := s.runner.Pages.Oldest(); p != nil {
				s.settle(p)
				continue
			}
			time.Sleep(500 * time.Microsecond)
		}
		servers += s.processorTime()
		s.restart()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/row")
	b.ReportMetric(float64((processorTime(b)-ours).Nanoseconds())/float64(b.N)/rows, "cpu-ns/row")
	b.ReportMetric(float64(servers.Nanoseconds())/float64(b.N)/rows, "server-cpu-ns/row")
}

// processorTime is how long this process has computed.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// processorTime is how long the server has computed for the runner's connection; zero where the system does not tell.
func (s *stage) processorTime() time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/schedstat", s.runner.Conn.PID()))
	if err != nil {
		return 0
	}
	var ns int64
	_, _ = fmt.Sscan(string(text), &ns)
	return time.Duration(ns)
}

// The time that it takes to find out about a thousand keys of Redis, all of which have a row.
func BenchmarkLookup(b *testing.B) {
	s := newStage(b, `CREATE TABLE items (id bigint PRIMARY KEY, name text); INSERT INTO items SELECT n, 'Item number ' || n FROM generate_series(1, 200000) n`)
	s.Exec("VACUUM ANALYZE items")
	layout, conn := s.layout("items"), s.connect().PgConn()
	if _, err := conn.Exec(b.Context(), backfill.PrepareSQL).ReadAll(); err != nil {
		b.Fatal(err)
	}
	texts := make([]string, 1000)
	for i := range texts {
		texts[i] = strconv.Itoa(1 + i*197)
	}
	b.ReportAllocs()
	for b.Loop() {
		if n, err := backfill.LookUp(b.Context(), conn, layout, texts); err != nil || n != len(texts) {
			b.Fatal(n, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(texts)), "ns/key")
}
