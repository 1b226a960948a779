package operate_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"freshet/poller/operate"
	"freshet/shared/change"
	"freshet/shared/problem"
)

// script answers look after look; the last one again and again.
type script struct {
	began time.Time
	at    []time.Duration
	steps []step
}

type step struct {
	tables []operate.Backfill
	over   bool
	err    error
	for_   time.Duration // how long it stays so; 0 is for one look
	until  time.Time
}

func (s *script) look(context.Context) ([]operate.Progress, bool, error) {
	if s.began.IsZero() {
		s.began = time.Now()
	}
	s.at = append(s.at, time.Since(s.began))
	now := &s.steps[0]
	if now.until.IsZero() {
		now.until = time.Now().Add(now.for_)
	}
	if len(s.steps) > 1 && !time.Now().Before(now.until) {
		s.steps = s.steps[1:]
	}
	var tables []operate.Progress
	for _, b := range now.tables {
		tables = append(tables, b.Progress())
	}
	return tables, now.over, now.err
}

func one(state change.BackfillState, rows int64) []operate.Backfill {
	return []operate.Backfill{backfill("public.a", 1000, 0, change.Backfill{State: state, Rows: rows})}
}

// wantLines wants these lines where there is no terminal.
func wantLines(t *testing.T, s *script, end error, want ...string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		d := operate.Display{Out: &out}
		if err := d.Follow(t.Context(), s.look); !errors.Is(err, end) {
			t.Errorf("got %v, want %v", err, end)
		}
		got := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestFollow_LinesAtEachChange(t *testing.T) {
	wantLines(t, &script{steps: []step{
		{tables: one(change.BackfillPending, 0), for_: time.Minute},
		{tables: one(change.BackfillRunning, 0)},
		{tables: one(change.BackfillRunning, 500)},
		{tables: one(change.BackfillSweeping, 1000)},
		{tables: one(change.BackfillDone, 1000), over: true},
	}}, nil,
		"public.a: reading, 0%, 0 of about 1,000 rows",
		"public.a: sweeping, 0 keys",
		"public.a: done, 1,000 rows")
}

// While it moves there is a line every few seconds, with a pace that is measured here when the poller tells none.
func TestFollow_LinesNowAndThen(t *testing.T) {
	s := &script{}
	for rows := int64(0); rows <= 900; rows += 60 {
		s.steps = append(s.steps, step{tables: one(change.BackfillRunning, rows)})
	}
	s.steps = append(s.steps, step{tables: one(change.BackfillDone, 1000), over: true})
	wantLines(t, s, nil,
		"public.a: reading, 0%, 0 of about 1,000 rows",
		"public.a: reading, 48%, 480 of about 1,000 rows, 69/s, 8s left",
		"public.a: reading, 78%, 780 of about 1,000 rows, 60/s, 4s left",
		"public.a: done, 1,000 rows")
}

// What does not move is said once, and what waits for a person is not repeated.
func TestFollow_Still(t *testing.T) {
	paused := one(change.BackfillRunning, 20)
	paused[0].Paused = true
	wantLines(t, &script{steps: []step{
		{tables: one(change.BackfillRunning, 10), for_: time.Minute},
		{tables: one(change.BackfillRunning, 20)},
		{tables: paused, for_: time.Hour},
		{tables: one(change.BackfillCancelled, 20), over: true},
	}}, nil,
		"public.a: reading, 1%, 10 of about 1,000 rows",
		"public.a: reading, 1%, 10 of about 1,000 rows",
		"public.a: reading, stands still, 1%, 10 of about 1,000 rows",
		"public.a: reading, 2%, 20 of about 1,000 rows, 2.0/s, 8m10s left",
		"public.a: paused, 2%, 20 of about 1,000 rows",
		"public.a: cancelled, 20 rows")
}

var (
	away = &problem.Error{What: "no poller runs", Transient: true}
	no   = &operate.Refusal{Status: 400, Cause: &problem.Error{What: "no"}}
)

// A poller that is being restarted is waited for; one that stays away is not.
func TestFollow_ThePollerIsAway(t *testing.T) {
	wantLines(t, &script{steps: []step{
		{tables: one(change.BackfillRunning, 10)},
		{err: away, for_: 50 * time.Second},
		{tables: one(change.BackfillRunning, 10)},
		{err: fmt.Errorf("again: %w", away), for_: 50 * time.Second},
		{tables: one(change.BackfillDone, 10), over: true},
	}}, nil,
		"public.a: reading, 1%, 10 of about 1,000 rows",
		"no poller runs; waiting",
		"public.a: reading, stands still, 1%, 10 of about 1,000 rows",
		"no poller runs; waiting",
		"public.a: done, 10 rows")
	s := &script{steps: []step{{tables: one(change.BackfillRunning, 10)}, {err: away}}}
	wantLines(t, s, away, "public.a: reading, 1%, 10 of about 1,000 rows", "no poller runs; waiting")
	if took := s.at[len(s.at)-1]; took < time.Minute || took > 62*time.Second {
		t.Errorf("it was waited for %s", took)
	}
	wantLines(t, &script{steps: []step{{err: no}}}, no, "")
}

// Quick ends are seen quickly; long runs are not asked about all the time.
func TestFollow_LooksLessOftenByAndBy(t *testing.T) {
	s := &script{steps: []step{{tables: one(change.BackfillRunning, 0), for_: 3 * time.Second}, {tables: one(change.BackfillDone, 0), over: true}}}
	wantLines(t, s, nil, "public.a: reading, 0%, 0 of about 1,000 rows", "public.a: done, 0 rows")
	var got []string
	for _, at := range s.at {
		got = append(got, at.String())
	}
	if diff := cmp.Diff([]string{"0s", "100ms", "300ms", "700ms", "1.5s", "2.5s", "3.5s", "4.5s"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestFollow_Interrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		s := &script{steps: []step{{tables: one(change.BackfillRunning, 0), for_: time.Hour}}}
		d := operate.Display{Out: new(bytes.Buffer)}
		if err := d.Follow(ctx, s.look); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

// screen is what a terminal of endless height shows of the few sequences that are used.
type screen struct {
	lines []string
	row   int
}

func (s *screen) Write(p []byte) (int, error) {
	for rest := string(p); rest != ""; {
		var n int
		var end byte
		switch {
		case strings.HasPrefix(rest, "\x1b["):
			if _, err := fmt.Sscanf(rest, "\x1b[%d%c", &n, &end); err != nil {
				n, end = 0, rest[2]
			}
			rest = rest[strings.IndexByte(rest, end)+1:]
			switch end {
			case 'A':
				s.row -= n
			case 'J':
				s.lines = s.lines[:min(s.row, len(s.lines))]
			}
			continue
		case rest[0] == '\r':
			rest = rest[1:]
			continue
		}
		line, after, whole := strings.Cut(rest, "\n")
		text, cleared := strings.CutSuffix(line, "\x1b[K")
		if !whole || !cleared {
			return 0, fmt.Errorf("a line is not cleared to its end: %q", rest)
		}
		if s.row == len(s.lines) {
			s.lines = append(s.lines, "")
		}
		s.lines[s.row] = text
		s.row++
		rest = after
	}
	return len(p), nil
}

func (s *screen) String() string { return strings.Join(s.lines, "\n") }

// On a terminal the same lines are drawn again, also when they are fewer than before, and what stood above stays.
func TestFollow_OnATerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &screen{lines: []string{"$ poller backfill a b"}, row: 1}
		width := 60
		two := func(a, b change.BackfillState, rows int64) []operate.Backfill {
			return append(one(a, rows), backfill("public.b", 10, 0, change.Backfill{State: b}))
		}
		s := &script{steps: []step{
			{tables: two(change.BackfillRunning, change.BackfillPending, 500)},
			{err: away},
			{tables: two(change.BackfillDone, change.BackfillRunning, 1000)},
			{tables: one(change.BackfillDone, 1000), over: true},
		}}
		var shown []string
		d := operate.Display{Out: out, Size: func() (int, int) { return width, 24 }}
		err := d.Follow(t.Context(), func(ctx context.Context) ([]operate.Progress, bool, error) {
			shown = append(shown, out.String())
			return s.look(ctx)
		})
		shown = append(shown, out.String())
		want := []string{
			"$ poller backfill a b",
			"$ poller backfill a b\n" +
				"public.a  [#######.......]  50%  500 of 1,000 rows  reading\n" +
				"public.b  [..............]   0%       0 of 10 rows  waiting\n" +
				"2 tables: 1 reading, 1 waiting",
			"$ poller backfill a b\n" +
				"public.a  [#######.......]  50%  500 of 1,000 rows  reading\n" +
				"public.b  [..............]   0%       0 of 10 rows  waiting\n" +
				"2 tables: 1 reading, 1 waiting\n" +
				"no poller runs; waiting",
			"$ poller backfill a b\n" +
				"public.a  [##################]  100%    1,000 rows  done\n" +
				"public.b  [..................]    0%  0 of 10 rows  reading\n" +
				"2 tables: 1 reading, 1 done",
			"$ poller backfill a b\n" +
				"public.a  [#######################]  100%  1,000 rows  done",
		}
		if diff := cmp.Diff(want, shown); diff != "" || err != nil {
			t.Errorf("%v\n%s", err, diff)
		}
		d.Clear()
		if got := out.String(); got != want[0] {
			t.Errorf("got %q", got)
		}
	})
}
