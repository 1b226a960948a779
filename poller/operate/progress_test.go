package operate_test

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"freshet/poller/operate"
	"freshet/shared/change"
	"freshet/shared/exchange"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func backfill(table string, total int64, perSecond float64, b change.Backfill) operate.Backfill {
	return operate.Backfill{Table: table, Total: total, RowsPerSecond: perSecond, Backfill: b}
}

func TestBackfill_Line(t *testing.T) {
	done := backfill("public.products", 1_000_000, 0, change.Backfill{State: change.BackfillDone, Rows: 1_000_003})
	done.Began, done.Ended, done.Swept = noon, noon.Add(192*time.Second), 1
	sweeping := backfill("public.products", 5, 0, change.Backfill{State: change.BackfillSweeping, Rows: 5})
	sweeping.Keys, sweeping.Swept = 120_000, 31
	for _, c := range []struct {
		b    operate.Backfill
		want string
	}{
		{backfill("public.products", 1_000_000, 11_999.7, change.Backfill{State: change.BackfillRunning, Rows: 450_000}),
			"public.products: reading, 45%, 450,000 of about 1,000,000 rows, 12,000/s, 46s left"},
		{backfill("public.products", 1_000_000, 0, change.Backfill{State: change.BackfillRunning, Rows: 450_000}),
			"public.products: reading, 45%, 450,000 of about 1,000,000 rows"},
		{backfill("public.products", -1, 2.5, change.Backfill{State: change.BackfillRunning, Rows: 1}), "public.products: reading, 1 row, 2.5/s"},
		{backfill("public.products", 900, 100, change.Backfill{State: change.BackfillRunning, Rows: 1000}), "public.products: reading, 99%, 1,000 of about 900 rows, 100/s"},
		{backfill("public.products", 0, 0, change.Backfill{State: change.BackfillRunning}), "public.products: reading, 0 of about 0 rows"},
		{backfill("public.products", 900, 0, change.Backfill{State: change.BackfillPending}), "public.products: waiting, 0%, 0 of about 900 rows"},
		{backfill("public.products", 900, 0, change.Backfill{State: change.BackfillPending, Paused: true}), "public.products: paused, 0%, 0 of about 900 rows"},
		{backfill("public.products", 900, 50, change.Backfill{State: change.BackfillRunning, Paused: true, Rows: 90}), "public.products: paused, 10%, 90 of about 900 rows"},
		{backfill("public.products", -1, 0, change.Backfill{State: change.BackfillClear}), "public.products: clearing, 0 rows"},
		{sweeping, "public.products: sweeping, 120,000 keys, 31 keys removed"},
		{done, "public.products: done in 3m12s, 1,000,003 rows, 1 key removed"},
		{backfill("public.products", 900, 0, change.Backfill{State: change.BackfillDone, Rows: 900}), "public.products: done, 900 rows"},
		{backfill("public.products", 900, 0, change.Backfill{State: change.BackfillCancelled, Paused: true, Rows: 90}), "public.products: cancelled, 90 rows"},
		{backfill("public.products", -1, 0, change.Backfill{State: change.BackfillOff}), "public.products: off, 0 rows"},
		{backfill("public.\"a\x1b[2J\"", -1, 0, change.Backfill{State: change.BackfillOff}), `"public.\"a\x1b[2J\"": off, 0 rows`},
	} {
		if got := c.b.Progress().Line(); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

func TestVerification_Lines(t *testing.T) {
	tables := []operate.VerifiedTable{
		{Table: "public.a", Step: operate.StepWaiting, Total: -1},
		{Table: "public.b", Step: operate.StepRows, Rows: 30, Total: 120, Tally: exchange.Tally{Match: 28, Stale: 2}},
		{Table: "public.c", Step: operate.StepKeys, Rows: 120, Total: 120, Keys: 1234},
		{Table: "public.d", Step: operate.StepAgain, Rows: 120, Total: 120, Tally: exchange.Tally{Orphan: 1, Missing: 1}},
		{Table: "public.e", Step: operate.StepDone, Rows: 121, Total: 120},
	}
	for _, c := range []struct {
		state operate.VerifyState
		want  []string
	}{
		{operate.VerifyRunning, []string{
			"public.a: waiting, 0 rows", "public.b: comparing, 25%, 30 of about 120 rows, 2 differ", "public.c: looking for orphans, 1,234 keys",
			"public.d: looking again, 99%, 120 of about 120 rows, 2 differ", "public.e: done, 121 rows",
		}},
		{operate.VerifyCancelled, []string{
			"public.a: cancelled, 0 rows", "public.b: cancelled, 30 rows, 2 differ", "public.c: cancelled, 1,234 keys", "public.d: cancelled, 120 rows, 2 differ", "public.e: done, 121 rows",
		}},
	} {
		var got []string
		for _, p := range (operate.Verification{State: c.state, Tables: tables}).Progress() {
			got = append(got, p.Line())
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Error(diff)
		}
	}
}

func TestDurations(t *testing.T) {
	for d, want := range map[time.Duration]string{
		400 * time.Millisecond: "0.4s", 3 * time.Second: "3s", 9949 * time.Millisecond: "9.9s", 9950 * time.Millisecond: "10s", 59400 * time.Millisecond: "59s",
		59500 * time.Millisecond: "1m00s", 192 * time.Second: "3m12s", time.Hour - time.Millisecond: "1h00m", 2*time.Hour + 5*time.Minute: "2h05m",
		24*time.Hour - time.Second: "1d00h", 76 * time.Hour: "3d04h",
	} {
		p := operate.Progress{Table: "t", Step: "done", Over: true, Took: d, Unit: "rows", Total: -1}
		if got := p.Line(); got != "t: done in "+want+", 0 rows" {
			t.Errorf("%s: got %s, want %s", d, got, want)
		}
	}
}

// mixed are tables in all states.
func mixed() []operate.Progress {
	var all []operate.Progress
	for _, b := range []operate.Backfill{
		backfill("public.orders", 20_000, 0, change.Backfill{State: change.BackfillDone, Rows: 20_114}),
		backfill("public.products", 1_000_000, 12_000, change.Backfill{State: change.BackfillRunning, Rows: 450_000}),
		backfill("public.events", -1, 900, change.Backfill{State: change.BackfillRunning, Rows: 7_000}),
		backfill("shop.customers", 5_000, 0, change.Backfill{State: change.BackfillPending}),
		backfill("shop.prices", 100, 0, change.Backfill{State: change.BackfillRunning, Paused: true, Rows: 50}),
	} {
		all = append(all, b.Progress())
	}
	all[0].Took, all[1].Note = 3200*time.Millisecond, "2 differ"
	return all
}

func TestFrame(t *testing.T) {
	for _, c := range []struct {
		name          string
		width, height int
		want          string
	}{
		{"wide", 140, 24, `
public.orders    [########################################]  100%                20,114 rows            done in 3.2s
public.products  [##################......................]   45%  450,000 of 1,000,000 rows  12,000/s  46s left      2 differ
public.events    [----------------------------------------]                       7,000 rows     900/s  reading
shop.customers   [........................................]    0%            0 of 5,000 rows            waiting
shop.prices      [####################....................]   50%             50 of 100 rows            paused
5 tables: 2 reading, 1 paused, 1 waiting, 1 done`},
		{"usual", 100, 24, `
public.orders    [#############]  100%                20,114 rows            done in 3.2s
public.products  [#####........]   45%  450,000 of 1,000,000 rows  12,000/s  46s left      2 differ
public.events    [-------------]                       7,000 rows     900/s  reading
shop.customers   [.............]    0%            0 of 5,000 rows            waiting
shop.prices      [######.......]   50%             50 of 100 rows            paused
5 tables: 2 reading, 1 paused, 1 waiting, 1 done`},
		{"no totals", 90, 24, `
public.orders    [################]  100%   20,114 rows            done in 3.2s
public.products  [#######.........]   45%  450,000 rows  12,000/s  46s left      2 differ
public.events    [----------------]          7,000 rows     900/s  reading
shop.customers   [................]    0%        0 rows            waiting
shop.prices      [########........]   50%       50 rows            paused
5 tables: 2 reading, 1 paused, 1 waiting, 1 done`},
		{"no pace", 80, 24, `
public.orders    [################]  100%   20,114 rows  done in 3.2s
public.products  [#######.........]   45%  450,000 rows  46s left      2 differ
public.events    [----------------]          7,000 rows  reading
shop.customers   [................]    0%        0 rows  waiting
shop.prices      [########........]   50%       50 rows  paused
5 tables: 2 reading, 1 paused, 1 waiting, 1 done`},
		{"no bars", 60, 24, `
public.orders    100%   20,114 rows  done in 3.2s
public.products   45%  450,000 rows  46s left      2 differ
public.events            7,000 rows  reading
shop.customers     0%        0 rows  waiting
shop.prices       50%       50 rows  paused
5 tables: 2 reading, 1 paused, 1 waiting, 1 done`},
		{"no counts", 50, 24, `
public.orders    100%  done in 3.2s
public.products   45%  46s left      2 differ
public.events          reading
shop.customers     0%  waiting
shop.prices       50%  paused
5 tables: 2 reading, 1 paused, 1 waiting, 1 done`},
		{"no notes", 36, 24, `
public.orders    100%  done in 3.2s
public.products   45%  46s left
public.events          reading
shop.customers     0%  waiting
shop.prices       50%  paused
5 tables: 2 reading, 1 paused, 1 w…`},
		{"names cut", 30, 24, `
…blic.orders  100%  done in …
…ic.products   45%  46s left
…blic.events        reading
…p.customers    0%  waiting
shop.prices    50%  paused
5 tables: 2 reading, 1 pause…`},
		{"low", 80, 5, `
public.products  [####.......]  45%  450,000 rows  12,000/s  46s left  2 differ
public.events    [-----------]         7,000 rows     900/s  reading
5 tables: 2 reading, 1 paused, 1 waiting, 1 done`},
		{"lowest", 80, 1, `
public.products  [####.......]  45%  450,000 rows  12,000/s  46s left  2 differ
5 tables: 2 reading, 1 paused, 1 waiting, 1 done`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := operate.Frame(mixed(), c.width, c.height)
			if diff := cmp.Diff(strings.Split(strings.TrimPrefix(c.want, "\n"), "\n"), got); diff != "" {
				t.Errorf("%s\n%s", diff, strings.Join(got, "\n"))
			}
		})
	}
}

// No terminal is too narrow or too low: no line is wrapped, and nothing scrolls away.
func TestFrame_AlwaysFits(t *testing.T) {
	all := mixed()
	all[1].Table = `public."Größe 表 und noch mehr davon"`
	for width := 1; width < 130; width++ {
		for height := 1; height < 10; height++ {
			got := operate.Frame(all, width, height)
			if len(got) > max(2, height-1) {
				t.Errorf("%d x %d: %d lines", width, height, len(got))
			}
			for _, line := range got {
				if utf8.RuneCountInString(line)+strings.Count(line, "表") > max(1, width-1) {
					t.Errorf("%d x %d: %q is too long", width, height, line)
				}
			}
		}
	}
	if got := operate.Frame(nil, 80, 24); len(got) != 0 {
		t.Errorf("got %q", got)
	}
	if got := operate.Frame(all[:1], 80, 24); len(got) != 1 {
		t.Errorf("got %q", got)
	}
}

// Of many tables those that move have bars, and as many as there is room for.
func TestFrame_ManyTables(t *testing.T) {
	var all []operate.Progress
	for i := range 300 {
		b := backfill("t"+strings.Repeat("x", i%3), 100, 10, change.Backfill{State: change.BackfillPending})
		switch {
		case i < 100:
			b.State, b.Rows = change.BackfillDone, 100
		case i < 102:
			b.State, b.Rows = change.BackfillRunning, 50
		}
		all = append(all, b.Progress())
	}
	want := []string{
		"tx   [####################....................]  50%  50 of 100 rows  10/s  5s left",
		"txx  [####################....................]  50%  50 of 100 rows  10/s  5s left",
		"300 tables: 2 reading, 198 waiting, 100 done",
	}
	if diff := cmp.Diff(want, operate.Frame(all, 100, 24)); diff != "" {
		t.Error(diff)
	}
	for i := range all {
		all[i].Moving, all[i].Step = true, "comparing"
	}
	if got := operate.Frame(all, 100, 50); len(got) != 13 || got[12] != "300 tables: 300 comparing" {
		t.Errorf("got %d lines, the last %q", len(got), got[len(got)-1])
	}
	if got := operate.Frame(all, 100, 6); len(got) != 5 {
		t.Errorf("got %d lines", len(got))
	}
}
