package garbage_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"runtime"
	"runtime/metrics"
	"testing"
	"time"

	"freshet/shared/garbage"
)

const (
	floor = 28 << 20
	mib   = 1 << 20
)

// Nothing takes CollectFrom back, so each story is lived by a process of its own: this binary, told which one by storyName.
const storyName = "GARBAGE_TEST_STORY"

var stories = map[string]func(*told){"start": func(*told) {}, "small": small, "goals": goals}

// told is what a process reports.
type told struct {
	Percent uint64   // right after CollectFrom
	Goals   []uint64 // of the heap, in the order of the story
	Cycles  uint64
}

func TestMain(m *testing.M) {
	story, child := stories[os.Getenv(storyName)]
	if !child {
		os.Exit(m.Run())
	}
	var got told
	if os.Getenv("GARBAGE_TEST_FLOOR") != "" {
		garbage.CollectFrom(floor)
	}
	got.Percent = read("/gc/gogc:percent")
	story(&got)
	if err := json.NewEncoder(os.Stdout).Encode(got); err != nil {
		panic(err)
	}
}

const withFloor = "GARBAGE_TEST_FLOOR=yes"

func tell(t *testing.T, story string, environ ...string) (got told) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(environ, storyName+"="+story, "GORACE=atexit_sleep_ms=0") // which is a second otherwise
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v: %q", err, out)
	}
	return got
}

// sink has what is put there allocated from the heap.
var sink []byte

// small makes 128 MiB of garbage, and hardly anything else.
func small(got *told) {
	before := read("/gc/cycles/total:gc-cycles")
	for range 128 * mib / (8 << 10) {
		sink = make([]byte, 8<<10)
	}
	got.Cycles = read("/gc/cycles/total:gc-cycles") - before
}

// goals has little in use, then more, then more than half the floor, then more than the floor, then little again.
func goals(got *told) {
	got.Goals = append(got.Goals, read("/gc/heap/goal:bytes"))
	for _, used := range []int{6 * mib, 12 * mib, 20 * mib, 64 * mib, 6 * mib} {
		sink = make([]byte, used)
		runtime.GC()
		got.Goals = append(got.Goals, settled())
	}
}

func TestCollectFrom_FewerCycles(t *testing.T) {
	const alone = "GODEBUG=gcstoptheworld=1" // so that the count does not depend on how much is allocated during a cycle
	usual, got := tell(t, "small", alone), tell(t, "small", alone, withFloor)
	t.Logf("%d cycles, and %d with the floor", usual.Cycles, got.Cycles)
	if got.Cycles == 0 || got.Cycles*4 > usual.Cycles {
		t.Errorf("%d cycles with the floor and %d without: want some, and a quarter at most", got.Cycles, usual.Cycles)
	}
}

func TestCollectFrom_Goals(t *testing.T) {
	got := tell(t, "goals", withFloor)
	want := []uint64{floor, floor, floor, 40 * mib, 128 * mib, floor}
	for i, want := range want {
		if near := got.Goals[i] > want*9/10 && got.Goals[i] < want*11/10; !near {
			t.Errorf("goal %d is %d MiB, want about %d", i, got.Goals[i]/mib, want/mib)
		}
	}
}

func TestCollectFrom_OperatorHasPrecedence(t *testing.T) {
	for gogc, want := range map[string]uint64{"100": 100, "150": 150, "": 700} {
		if got := tell(t, "start", withFloor, "GOGC="+gogc); got.Percent != want {
			t.Errorf("GOGC=%s: percentage %d, want %d", gogc, got.Percent, want)
		}
	}
}

func TestCollectFrom_LimitGoesBefore(t *testing.T) {
	for i, goal := range tell(t, "goals", withFloor, "GOMEMLIMIT=20MiB").Goals[:3] {
		if goal > 20*mib {
			t.Errorf("goal %d is %d MiB with a limit of 20", i, goal/mib)
		}
	}
}

// settled is the goal once it has stayed for some cycles. The finalizers of a cycle run when they get to it.
func settled() (goal uint64) {
	for same := 0; same < 3; same++ {
		collect()
		if now := read("/gc/heap/goal:bytes"); now > goal+goal/100 || now < goal-goal/100 {
			goal, same = now, 0
		}
	}
	return goal
}

// collect returns after a whole cycle and after a finalizer of it has run.
func collect() {
	done := make(chan struct{})
	func() { runtime.SetFinalizer(&[64]byte{}, func(*[64]byte) { close(done) }) }()
	for {
		runtime.GC()
		select {
		case <-done:
			return
		case <-time.After(20 * time.Millisecond): // it was still on the stack
		}
	}
}

func read(name string) uint64 {
	sample := []metrics.Sample{{Name: name}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
