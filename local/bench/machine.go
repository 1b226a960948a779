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
	// Autogroup says whether the kernel shares the processors out by sessions of processes first: "0" or "1", empty where that cannot be known. It makes
	// a difference where more programs want to run than there are processors.
	Autogroup string `json:"autogroup,omitempty"`
}

func (b *bench) machine(ctx context.Context) Machine {
	m := Machine{System: runtime.GOOS + "/" + runtime.GOARCH, Cores: runtime.NumCPU(), Model: processor(), Load: b.busy, Go: runtime.Version(), Autogroup: autogroup()}
	m.Postgres, _ = b.text(ctx, "current_setting('server_version')") // a report without it is still one
	info := b.keys.InfoMap(ctx, "server").Val()
	m.Redis = info["Server"]["redis_version"]
	return m
}

func (m Machine) String() string {
	groups := map[string]string{"0": " The scheduler made no groups (sched_autogroup_enabled=0).", "1": " The scheduler made groups (sched_autogroup_enabled=1)."}[m.Autogroup]
	return fmt.Sprintf("%s, %d cores (%s), %s, Postgres %s with fsync on, Redis %s without persistence, %s. Load average before the start: %s.%s",
		m.Date.Format(time.DateOnly), m.Cores, m.Model, m.System, m.Postgres, m.Redis, m.Go, m.Load, groups)
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

// autogroup is the kernel's setting.
func autogroup() string {
	text, _ := os.ReadFile("/proc/sys/kernel/sched_autogroup_enabled") // elsewhere there is none
	return strings.TrimSpace(string(text))
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
