package bench

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// Machine is where and when a result came about.
type Machine struct {
	Date     time.Time `json:"date"`
	System   string    `json:"system"` // as Go names it
	Cores    int       `json:"cores"`
	Model    string    `json:"model"` // of the processor, where it can be known
	Load     string    `json:"load"`  // average of the minute before the run, where it can be known: what else was going on
	Postgres string    `json:"postgres"`
	Redis    string    `json:"redis"`
	Go       string    `json:"go"`
}

func (b *bench) machine(ctx context.Context) Machine {
	m := Machine{System: runtime.GOOS + "/" + runtime.GOARCH, Cores: runtime.NumCPU(), Model: processor(), Load: b.busy, Go: runtime.Version()}
	m.Postgres, _ = b.text(ctx, "current_setting('server_version')") // a report without it is still one
	info := b.keys.InfoMap(ctx, "server").Val()
	m.Redis = info["Server"]["redis_version"]
	return m
}

func (m Machine) String() string {
	return fmt.Sprintf("%s, %d cores (%s), %s, Postgres %s with fsync on, Redis %s without persistence, %s. Load average before the start: %s.",
		m.Date.Format(time.DateOnly), m.Cores, m.Model, m.System, m.Postgres, m.Redis, m.Go, m.Load)
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
