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
	CPU  time.Duration
	Peak int64 // bytes of memory that were resident at the most
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
	u.CPU, ok = cpuTime(stat)
	u.Peak = peakMemory(status)
	return u, ok
}

// cpuTime adds the times in user and kernel mode, fields 14 and 15. The name, field 2, may hold spaces and parentheses.
func cpuTime(stat []byte) (time.Duration, bool) {
	_, rest, ok := bytes.Cut(stat[max(0, bytes.LastIndexByte(stat, ')')):], []byte(" "))
	fields := strings.Fields(string(rest)) // from field 3
	if !ok || len(fields) < 13 {
		return 0, false
	}
	var ticks int64
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, false
		}
		ticks += n
	}
	return time.Duration(ticks) * tick, true
}

func peakMemory(status []byte) int64 {
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64) // 0 when it is unreadable
			return kib << 10
		}
	}
	return 0
}
