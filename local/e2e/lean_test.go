package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"freshet/local/race"
	"freshet/local/stack"
)

// soaking has tests take the time that they would like to take.
var soaking = os.Getenv(envSoak) == "1"

// leanPrograms are built without the race detector, which multiplies the memory that a program needs.
var leanPrograms = sync.OnceValues(func() (stack.Binaries, error) {
	if !race.Enabled {
		return world.programs()
	}
	dir := filepath.Join(world.dir, "lean")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return stack.Binaries{}, err
	}
	return stack.Build(context.Background(), dir, stack.Quick)
})

func lean(t *testing.T) stack.Binaries {
	t.Helper()
	programs, err := leanPrograms()
	if err != nil {
		t.Fatal(err)
	}
	return programs
}

// startLean is start with the lean programs.
func (r *rig) startLean() {
	r.Helper()
	r.fn = launch(r.T, "fn", lean(r.T).Fn, r.fnEnv())
	r.waitReady(r.fnURL())
	r.launchLeanPoller()
	r.waitReady("http://" + r.adminAddr())
}

func (r *rig) launchLeanPoller() {
	r.Helper()
	r.poller = launch(r.T, "poller", lean(r.T).Poller, r.pollerEnv())
}

// memoryLimit is the most that either program may ever have held, in MB.
const memoryLimit = 100

// wantLittleMemory looks at the most memory that a running program has ever held.
func (r *rig) wantLittleMemory(p *stack.Process) {
	r.Helper()
	mb, err := peakMemory(p.PID())
	if err != nil {
		r.Logf("the memory of %s is not known: %v", p.Name, err) // no Linux
		return
	}
	r.Logf("%s held %d MB at most", p.Name, mb)
	if mb > memoryLimit {
		r.Errorf("%s held %d MB, want at most %d", p.Name, mb, memoryLimit)
	}
}

// peakMemory is a process's VmHWM, in MB.
func peakMemory(pid int) (mb int, err error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := bytes.Cut(status, []byte("VmHWM:"))
	fields := bytes.Fields(rest)
	if len(fields) == 0 {
		return 0, fmt.Errorf("/proc/%d/status has no VmHWM", pid)
	}
	kb, err := strconv.Atoi(string(fields[0]))
	return kb >> 10, err
}
