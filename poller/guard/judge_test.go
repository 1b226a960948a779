package guard_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"freshet/poller/guard"
	"freshet/shared/config"
)

const mib, gib = config.Bytes(1 << 20), config.Bytes(1 << 30)

var limits = guard.Config{GuardEvery: 10 * time.Second, SlotWarnBytes: 4 * gib}

var start = time.Date(2026, 1, 1, 10, 0, 0, 0, time.UTC)

// well is a slot that all is well with; change makes another of it.
func well(change func(r *guard.Report)) guard.Report {
	safe := 63 * gib
	r := guard.Report{
		Slot: "s", Checked: start, Exists: true, Active: true, WALStatus: "reserved", RetainedBytes: gib, ConfirmedLagBytes: gib - mib, SafeBytes: &safe, LimitBytes: 64 * gib,
	}
	if change != nil {
		change(&r)
	}
	return r
}

func safe(b config.Bytes) *config.Bytes { return &b }

func TestJudge(t *testing.T) {
	hours := func(n float64) *guard.Transaction { return &guard.Transaction{ID: "7", PID: 42, OpenSeconds: n * 3600} }
	for _, c := range []struct {
		name   string
		change func(r *guard.Report)
		want   []guard.Kind
		says   []string // in the texts
	}{
		{"all is well", nil, nil, nil},
		{"much, the function is away", func(r *guard.Report) { r.RetainedBytes, r.ConfirmedLagBytes = 5*gib, 5*gib },
			[]guard.Kind{guard.Retained}, []string{"keeps 5 GiB", "5 GiB of it are not confirmed", "/readyz", "POLLER_SLOT_WARN_BYTES"}},
		{"much, and nothing bounds it", func(r *guard.Report) {
			r.RetainedBytes, r.ConfirmedLagBytes, r.SafeBytes, r.LimitBytes = 5*gib, 5*gib, nil, -1
		}, []guard.Kind{guard.Retained}, []string{"max_slot_wal_keep_size is -1", "ALTER SYSTEM SET max_slot_wal_keep_size = '16GB'; SELECT pg_reload_conf();"}},
		{"just as much as is usual", func(r *guard.Report) { r.RetainedBytes = 4 * gib }, nil, nil},
		{"much, a transaction pins it", func(r *guard.Report) { r.RetainedBytes, r.ConfirmedLagBytes, r.Oldest = 5*gib, mib, hours(0.5) },
			[]guard.Kind{guard.Retained}, []string{"only 1 MiB of it are not confirmed", "open for 30m0s", "pg_terminate_backend(42)"}},
		{"much, but confirmed", func(r *guard.Report) { r.RetainedBytes, r.ConfirmedLagBytes = 5*gib, mib }, []guard.Kind{guard.Retained}, []string{"by itself", "CHECKPOINT"}},
		{"half of the limit", func(r *guard.Report) { r.RetainedBytes, r.LimitBytes, r.SafeBytes = 33*mib, 64*mib, safe(47*mib) },
			[]guard.Kind{guard.Losing}, []string{"once 47 MiB more", "may keep 64 MiB", "max_slot_wal_keep_size = '128MB'"}},
		{"exactly half", func(r *guard.Report) { r.RetainedBytes, r.LimitBytes, r.SafeBytes = 32*mib, 64*mib, safe(48*mib) }, nil, nil},
		{"little is safe", func(r *guard.Report) { r.RetainedBytes, r.LimitBytes, r.SafeBytes = mib, 64*mib, safe(12*mib) }, []guard.Kind{guard.Losing}, []string{"once 12 MiB more"}},
		{"extended", func(r *guard.Report) { r.WALStatus = "extended" }, []guard.Kind{guard.Extended}, []string{"max_wal_size", "/readyz"}},
		{"unreserved", func(r *guard.Report) { r.WALStatus, r.SafeBytes, r.LimitBytes = "unreserved", safe(-mib), 64*mib },
			[]guard.Kind{guard.Losing}, []string{"may be lost at the next checkpoint", "wal_status is unreserved"}},
		{"lost", func(r *guard.Report) {
			r.WALStatus, r.SafeBytes, r.Active, r.InactiveSeconds, r.Oldest = "lost", nil, false, 600, hours(2)
		}, []guard.Kind{guard.Losing}, []string{`"s" is lost`, "POLLER_REPAIR", "pg_drop_replication_slot('s')"}},
		{"lost for another reason", func(r *guard.Report) { r.WALStatus, r.Invalidation = "lost", "idle_timeout" }, []guard.Kind{guard.Losing}, []string{"idle_timeout"}},
		{"between two lives", func(r *guard.Report) { r.Active, r.InactiveSeconds = false, 59 }, nil, nil},
		{"inactive", func(r *guard.Report) { r.Active, r.InactiveSeconds = false, 90 }, []guard.Kind{guard.Inactive}, []string{"for 1m30s", "1 GiB by now", "/readyz"}},
		{"a long transaction", func(r *guard.Report) { r.Oldest = hours(1.5) }, []guard.Kind{guard.OldTransaction}, []string{"open for 1h30m0s", "pg_terminate_backend(42)"}},
		{"an hour is not over an hour", func(r *guard.Report) { r.Oldest = hours(1) }, nil, nil},
		{"a prepared transaction", func(r *guard.Report) { r.Oldest = &guard.Transaction{Prepared: "it's", OpenSeconds: 7200} },
			[]guard.Kind{guard.OldTransaction}, []string{"ROLLBACK PREPARED 'it''s'"}},
		{"there is none yet", func(r *guard.Report) { *r = guard.Report{Slot: "s", Checked: start} }, nil, nil},
		{"there is none for long", func(r *guard.Report) { *r = guard.Report{Slot: "s", Checked: start, MissingSeconds: 61} }, []guard.Kind{guard.Missing}, []string{"1m1s"}},
	} {
		var kinds []guard.Kind
		var text strings.Builder
		for _, w := range limits.Judge(well(c.change)) {
			kinds = append(kinds, w.Kind)
			text.WriteString(w.What + "; " + w.Why + "; " + w.Fix + "\n")
			if w.What == "" || w.Why == "" || w.Fix == "" {
				t.Errorf("%s: %+v lacks a what, a why or a fix", c.name, w)
			}
		}
		if !slices.Equal(kinds, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, kinds, c.want)
		}
		for _, part := range c.says {
			if !strings.Contains(text.String(), part) {
				t.Errorf("%s: nothing says %q:\n%s", c.name, part, text.String())
			}
		}
	}
}

// Before 17 Postgres does not say since when a slot is inactive, and it never says since when a slot is gone.
func TestReport_Since(t *testing.T) {
	var r guard.Report
	look := func(after time.Duration, change func(r *guard.Report)) {
		next := well(change)
		next.Checked = start.Add(after)
		r = next.Since(r)
	}
	want := func(what string, got, want float64) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %v seconds, want %v", what, got, want)
		}
	}
	idle := func(r *guard.Report) { r.Active = false }
	look(0, idle)
	want("seen inactive for the first time", r.InactiveSeconds, 0)
	look(10*time.Second, idle)
	look(30*time.Second, idle)
	want("inactive since", r.InactiveSeconds, 30)
	look(40*time.Second, nil)
	want("active", r.InactiveSeconds, 0)
	look(50*time.Second, idle)
	want("inactive again", r.InactiveSeconds, 0)

	gone := func(r *guard.Report) { *r = guard.Report{Slot: "s"} }
	look(60*time.Second, gone)
	want("gone", r.MissingSeconds, 0)
	look(75*time.Second, gone)
	want("gone for a while", r.MissingSeconds, 15)
	want("and not inactive", r.InactiveSeconds, 0)

	hidden := func(id string) func(r *guard.Report) {
		return func(r *guard.Report) { r.Oldest = &guard.Transaction{ID: id, PID: 1} } // of a role whose sessions we may not look into
	}
	look(80*time.Second, hidden("7"))
	look(95*time.Second, hidden("7"))
	want("open", r.Oldest.OpenSeconds, 15)
	look(99*time.Second, hidden("8"))
	want("another one", r.Oldest.OpenSeconds, 0)
}

func TestNotices(t *testing.T) {
	var n guard.Notices
	now := start
	keeps := func(b config.Bytes) []guard.Warning {
		return limits.Judge(well(func(r *guard.Report) { r.RetainedBytes, r.ConfirmedLagBytes = b, b }))
	}
	step := func(what string, after time.Duration, warnings []guard.Warning, wantSay, wantOver int) {
		t.Helper()
		now = now.Add(after)
		say, over := n.Due(warnings, now)
		if len(say) != wantSay || len(over) != wantOver {
			t.Errorf("%s: said %v, over %v, want %d and %d", what, say, over, wantSay, wantOver)
		}
	}
	const look = 10 * time.Second
	step("nothing is wrong", look, nil, 0, 0)
	step("it begins", look, keeps(5*gib), 1, 0)
	step("it goes on", look, keeps(6*gib), 0, 0)
	step("it goes on", 8*time.Minute, keeps(9*gib), 0, 0)
	step("it has doubled", look, keeps(10*gib), 1, 0)
	step("it goes on", 9*time.Minute, keeps(11*gib), 0, 0)
	step("ten minutes have passed", time.Minute, keeps(11*gib), 1, 0)
	step("one look without", look, nil, 0, 0)
	step("it was only that look", look, keeps(11*gib), 0, 0)
	step("gone", look, nil, 0, 0)
	step("gone", look, nil, 0, 0)
	step("over", look, nil, 0, 1)
	step("well", look, nil, 0, 0)
	step("it begins again", look, keeps(5*gib), 1, 0)
}

// The nearer the loss, the more often it is said: each time that what is left has halved, then at both last stages.
func TestNotices_ALossComesNearer(t *testing.T) {
	var n guard.Notices
	now, said := start, 0
	for _, left := range []config.Bytes{40, 30, 20, 16, 11, 8, 4, 3, 0} {
		now = now.Add(time.Second)
		say, _ := n.Due(limits.Judge(well(func(r *guard.Report) {
			r.RetainedBytes, r.LimitBytes, r.SafeBytes = (64-left)*mib, 64*mib, safe(left*mib)
		})), now)
		said += len(say)
	}
	if said != 4 { // at 30, 11 and 4, and at 0
		t.Errorf("said %d times", said)
	}
	lost := limits.Judge(well(func(r *guard.Report) { r.WALStatus = "lost" }))
	for i, want := range []int{1, 0, 0} {
		if say, over := n.Due(lost, now); len(say) != want || len(over) != 0 {
			t.Errorf("look %d at a lost slot: said %v, over %v", i, say, over)
		}
	}
}

// The admin page's document.
func TestReport_JSON(t *testing.T) {
	text, err := json.Marshal(guard.Seen{Report: well(nil)})
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{`"slot":"s"`, `"retained_bytes":1073741824`, `"safe_wal_bytes":`, `"limit_bytes":`, `"warnings":null`, `"inactive_seconds":0`, `"wal_status":"reserved"`} {
		if !strings.Contains(string(text), part) {
			t.Errorf("%s lacks %s", text, part)
		}
	}
}

func TestConfig_Validate(t *testing.T) {
	if found := limits.Validate(); len(found) > 0 {
		t.Error(found)
	}
	found := guard.Config{}.Validate()
	for i, name := range []string{"POLLER_GUARD_EVERY", "POLLER_SLOT_WARN_BYTES"} {
		if len(found) != 2 || !strings.Contains(found[i].What, name) || found[i].Fix == "" {
			t.Errorf("nothing about %s in %v", name, found)
		}
	}
}
