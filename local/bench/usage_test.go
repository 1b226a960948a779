package bench

import (
	"os"
	"runtime"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	stat := []byte("42 (a) odd) name) S 7 42 42 0 -1 4194560 1 2 3 4 120 30 200 8 20 0 1 0 100 0 0")
	want := processStat{pid: 42, parent: 7, own: 1500 * time.Millisecond, ended: 2080 * time.Millisecond}
	if got, ok := parseStat(stat); !ok || got != want {
		t.Errorf("got %+v %v, want %+v", got, ok, want)
	}
	for _, bad := range []string{"", "42", "42 (name)", "42 (name) S 1 2 3", "x (name) S 7 42 42 0 -1 4194560 1 2 3 4 120 30 200 8 20"} {
		if got, ok := parseStat([]byte(bad)); ok {
			t.Errorf("%q is %+v", bad, got)
		}
	}
}

func TestUsageOf_KnowsThisProcess(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("there is no /proc")
	}
	if u, ok := usageOf(os.Getpid()); !ok || u.Resident < 1<<20 || u.Peak < u.Resident {
		t.Errorf("got %+v, %v", u, ok)
	}
	if familyTime(os.Getpid()) < 0 || familyTime(1<<30) != 0 {
		t.Error("the wrong processes were added up")
	}
	if _, ok := usageOf(1 << 30); ok {
		t.Error("a process that cannot be has used something")
	}
}

func TestRowClock_IgnoresTheStateAndWhatDoesNotGrow(t *testing.T) {
	var c rowClock
	start := time.Now()
	for second, size := range []int64{0, 1, 1, 500, 900, 900, 900} {
		c.see(size, start.Add(time.Duration(second)*time.Second))
	}
	if got := c.span(); got != time.Second {
		t.Errorf("got %v, want 1s", got)
	}
}

// Who waits for so many rows looks often before the first one and at the end, and seldom between.
func TestRowClock_Pause(t *testing.T) {
	began := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var c rowClock
	pause := func(expected int64, want time.Duration) {
		t.Helper()
		if got := c.pause(expected); got != want {
			t.Errorf("at %d of %d: %s, not %s", c.size, expected, got, want)
		}
	}
	pause(1000, glance)
	c.see(ownKeys, began)
	pause(1000, glance)
	c.see(100, began)
	pause(1000, time.Millisecond) // nobody knows the pace yet
	c.see(200, began.Add(20*time.Millisecond))
	pause(0, glance)
	pause(1000, 40*time.Millisecond)
	pause(1_000_000, 10*glance)
	c.see(990, began.Add(100*time.Millisecond))
	pause(1000, time.Millisecond)
	c.see(1005, began.Add(110*time.Millisecond))
	pause(1000, time.Millisecond)
}

func TestSumOf_AddsOverLabels(t *testing.T) {
	const metrics = "# HELP a_total b\na_total{x=\"1\"} 3\na_total{x=\"2\"} 1e2\na_total_more 7\nb 1\n"
	if got := sumOf(metrics, "a_total"); got != 103 {
		t.Errorf("got %d, want 103", got)
	}
	if got := sumOf(metrics, "a_total", `x="2"`); got != 100 {
		t.Errorf("got %d, want 100", got)
	}
}

func TestRequests_LeaveOutOurOwn(t *testing.T) {
	const metrics = "freshet_fn_request_seconds_count{route=\"/v1/batches\"} 3\nfreshet_fn_request_seconds_count{route=\"/metrics\"} 9\n"
	if got := requests(metrics + metrics); len(got) != 1 || got["/v1/batches"] != 6 {
		t.Errorf("got %v, want six batches of two functions", got)
	}
}

func TestSpreadOf(t *testing.T) {
	var times []time.Duration
	for n := range 200 {
		times = append(times, time.Duration(200-n))
	}
	if got, want := spreadOf(times), (Spread{P50: 100, P99: 198, Max: 200}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	if got, want := spreadOf(times[:1]), (Spread{P50: 1, P99: 1, Max: 1}); got != want {
		t.Errorf("of one: got %v, want %v", got, want)
	}
	if got := spreadOf(nil); got != (Spread{}) {
		t.Errorf("of none: got %v", got)
	}
}

func TestDiary_MeasuresFromTheCommit(t *testing.T) {
	const ms = time.Millisecond
	d := &diary{
		late: []time.Duration{9 * ms, ms, 0}, sent: []time.Duration{0, 10 * ms, 20 * ms},
		returned: []time.Duration{ms, 12 * ms, 22 * ms}, there: []time.Duration{50 * ms, 13 * ms, 21 * ms},
	}
	got, err := d.since(1)
	if err != nil {
		t.Fatal(err)
	}
	want := LatencyTurn{
		Turn: Turn{Took: 10 * ms}, Commits: 2, Late: ms, Commit: Spread{2 * ms, 2 * ms, 2 * ms},
		Returned: Spread{-ms, ms, ms}, Sent: Spread{ms, 3 * ms, 3 * ms},
	}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	d.there[1] = 9 * ms
	if _, err := d.since(1); err == nil {
		t.Error("a key that was there before its commit is accepted")
	}
}

func TestCourse_Level(t *testing.T) {
	bytes := func(s Sample) int64 { return s.Poller }
	for _, test := range []struct {
		bytes []int64
		level bool
	}{
		{[]int64{50, 40, 55, 55}, true},
		{[]int64{50, 40, 50, 56}, false},
		{[]int64{50, 60, 60, 66, 40}, true},
		{[]int64{50}, false},
	} {
		var c Course
		for _, n := range test.bytes {
			c.Samples = append(c.Samples, Sample{Poller: n})
		}
		if got := c.level(bytes); got != test.level {
			t.Errorf("%v: level is %v, want %v", test.bytes, got, test.level)
		}
	}
}
