package bench

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// Machine is where a run took place.
type Machine struct {
	Date                time.Time
	Cores               int
	Model               string // of the processor, where it can be known
	Load                string // average of the minute before, where it can be known: what else was going on
	Postgres, Redis, Go string
}

func (b *bench) machine(ctx context.Context) Machine {
	m := Machine{Date: time.Now().UTC(), Cores: runtime.NumCPU(), Model: processor(), Load: b.busy, Go: runtime.Version()}
	m.Postgres, _ = b.text(ctx, "current_setting('server_version')") // a report without it is still one
	info := b.keys.InfoMap(ctx, "server").Val()
	m.Redis = info["Server"]["redis_version"]
	return m
}

// String is the report's introduction.
func (m Machine) String() string {
	return fmt.Sprintf(`%s, %d cores (%s), %s/%s, Postgres %s with fsync on, Redis %s without persistence, %s.
Everything runs on this one machine, the servers too. Both clocks start with a process; the ratio takes all of freshet's time from there to
confirmed_flush_lsn at the end of the load (for rows that were there before: to the sink's state saying so). "First to last row" is how much of it rows
arrived in Redis. After each turn of freshet every row was compared with its key, outside of the clock.
Load average before the start: %s.`,
		m.Date.Format("2006-01-02"), m.Cores, m.Model, runtime.GOOS, runtime.GOARCH, m.Postgres, m.Redis, m.Go, m.Load)
}

func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// loadAverage is how many processes wanted to run in the last minute.
func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	average, _, _ := strings.Cut(string(text), " ")
	return average
}
