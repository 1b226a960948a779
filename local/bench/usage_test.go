package bench

import (
	"os"
	"runtime"
	"testing"
	"time"
)

func TestCPUTime_AddsUserAndKernel(t *testing.T) {
	stat := []byte("42 (a) odd) name) S 1 42 42 0 -1 4194560 1 2 3 4 120 30 7 8 20 0 1 0 100 0 0")
	if got, ok := cpuTime(stat); !ok || got != 1500*time.Millisecond {
		t.Errorf("got %v %v, want 1.5s", got, ok)
	}
	for _, bad := range []string{"", "42", "42 (name)", "42 (name) S 1 2 3"} {
		if got, ok := cpuTime([]byte(bad)); ok {
			t.Errorf("%q is %v", bad, got)
		}
	}
}

func TestUsageOf_KnowsThisProcess(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("there is no /proc")
	}
	if u, ok := usageOf(os.Getpid()); !ok || u.Peak < 1<<20 {
		t.Errorf("got %+v, %v", u, ok)
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

func TestSumOf_AddsOverLabels(t *testing.T) {
	const metrics = "# HELP a_total b\na_total{x=\"1\"} 3\na_total{x=\"2\"} 1e2\na_total_more 7\nb 1\n"
	if got := sumOf(metrics, "a_total"); got != 103 {
		t.Errorf("got %d, want 103", got)
	}
}
