// Package garbage keeps the collector from running while there is little to collect. By itself the runtime begins with a goal of 4 MiB and
// lets the heap grow to twice what is in use, so a program that grows to some 10 MB collects time and again in the first moments of a load.
package garbage

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

const (
	// usual is what the runtime has where nobody sets GOGC: the heap may grow by what is in use.
	usual = 100
	// smallest is the runtime's own least goal at that percentage; it grows and shrinks with the percentage.
	smallest = 4 << 20
)

// CollectFrom has garbage collected only once the heap has so many bytes. A heap with more than half of them in use is collected as ever,
// when it has grown to twice what is in use. A memory limit that is lower goes before. An operator's own GOGC has precedence, and then
// nothing is done. It is for main, to be called once: what it does to the process has no end.
func CollectFrom(bytes uint64) {
	if os.Getenv("GOGC") != "" { // asked here, since the runtime does not tell a GOGC of 100 from none
		return
	}
	f := &floor{bytes: bytes, read: []metrics.Sample{
		{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"},
	}}
	f.keep()
}

// floor is garbage itself, which is how it learns of the end of each cycle: the collector finds it and calls its finalizer, which has the
// next cycle find it again. So nothing wakes up to look, and as finalizers run one at a time it needs no lock. A cleanup
// (runtime.AddCleanup) would come later: it waits until the whole heap is swept, and until then the old percentage makes the goal.
type floor struct {
	bytes uint64
	read  []metrics.Sample
}

// keep is done anew after each cycle, as the percentage has to follow what is in use. Neither step stops the world.
func (f *floor) keep() {
	runtime.SetFinalizer(f, (*floor).keep)
	metrics.Read(f.read)
	debug.SetGCPercent(f.percent(f.read[0].Value.Uint64(), f.read[1].Value.Uint64(), f.read[2].Value.Uint64()))
}

// percent has the runtime compute f.bytes as its goal, which is the greater one of smallest*percent/100 and
// live + (live + stacks + globals)*percent/100. Before the first cycle all three are nought.
func (f *floor) percent(live, stacks, globals uint64) int {
	if live >= f.bytes {
		return usual
	}
	room := (f.bytes - live) * 100 / max(live+stacks+globals, 1)
	return int(max(usual, min(room, f.bytes*100/smallest)))
}
