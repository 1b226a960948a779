package bench

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// usage is what a process has used so far. On systems without /proc it stays empty.
type usage struct {
	CPU      time.Duration `json:"cpu_ns,omitempty"`
	Peak     int64         `json:"peak_bytes,omitempty"`     // of memory that was resident, at the most
	Resident int64         `json:"resident_bytes,omitempty"` // of memory now
}

// tick is the unit of times in /proc; Linux shows the same to all programs on every machine.
const tick = time.Second / 100

// usageOf reads /proc. https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
func usageOf(pid int) (u usage, ok bool) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u, false
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return u, false
	}
	parsed, ok := parseStat(stat)
	return usage{CPU: parsed.own, Peak: memory(status, "VmHWM:"), Resident: memory(status, "VmRSS:")}, ok
}

// processStat is what we want of a line of /proc/PID/stat.
type processStat struct {
	pid, parent int
	own, ended  time.Duration // its own time in user and kernel mode, and that of its children that have ended
}

// parseStat reads fields 1, 4, and 14 to 17. The name, field 2, may hold spaces and parentheses.
func parseStat(stat []byte) (s processStat, ok bool) {
	pid, _, _ := bytes.Cut(stat, []byte(" "))
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:])) // from field 3
	if len(fields) < 15 {
		return s, false
	}
	var n [6]int64
	for i, text := range append([]string{string(pid), fields[1]}, fields[11:15]...) {
		var err error
		if n[i], err = strconv.ParseInt(text, 10, 64); err != nil {
			return s, false
		}
	}
	return processStat{pid: int(n[0]), parent: int(n[1]), own: time.Duration(n[2]+n[3]) * tick, ended: time.Duration(n[4]+n[5]) * tick}, true
}

// memory reads a line of /proc/PID/status.
func memory(status []byte, name string) int64 {
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64) // 0 when it is unreadable
			return kib << 10
		}
	}
	return 0
}
