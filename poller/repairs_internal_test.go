package poller

import (
	"bytes"
	"errors"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"testing"

	"freshet/poller/admin"
	"freshet/poller/replication"
	"freshet/shared/change"
	"freshet/shared/config"
	"freshet/shared/exchange"
	"freshet/shared/problem"
)

func TestEveryCauseHasAText(t *testing.T) {
	found := map[string]bool{}
	for _, c := range change.Repairs {
		d := damages[c]
		if d.found == "" || d.why == "" || d.done == "" || d.left == "" {
			t.Errorf("%s lacks a text: %+v", c, d)
		}
		found[d.found] = true
	}
	if len(found) != len(change.Repairs) || len(damages) != len(change.Repairs) {
		t.Errorf("%d texts, %d of them different, for %d causes", len(damages), len(found), len(change.Repairs))
	}
	setting := "some of " + causeNames() + "."
	for _, s := range config.Settings(Prefix, new(Config)) {
		if s.Name == "POLLER_REPAIR" && !strings.Contains(s.Description, setting) {
			t.Errorf("the setting's description does not say %q: %s", setting, s.Description)
		}
	}
}

func TestParseCauses(t *testing.T) {
	for text, want := range map[string][]change.Cause{
		"all": change.Repairs, " none ": {}, "slot": {change.CauseSlot}, "slot, rules": {change.CauseSlot, change.CauseRules},
	} {
		got, wrong := parseCauses(text)
		if wrong != nil || got == nil || !slices.Equal(got, want) {
			t.Errorf("%q: got %v, %v", text, got, wrong)
		}
	}
	for text, says := range map[string]string{
		"": "use all, none", "slots": "did you mean slot?", "emptyed,slot": "did you mean emptied?", "everything": "use all, none", "none,slot": "beside others", "slot,": "use all, none",
		"start": "use all, none", // no damage
	} {
		got, wrong := parseCauses(text)
		if wrong == nil || len(got) > 0 || !strings.Contains(wrong.Error(), says) || !strings.Contains(wrong.What, "POLLER_REPAIR") {
			t.Errorf("%q: got %v, %v, want %q", text, got, wrong, says)
		}
	}
}

func TestTell(t *testing.T) {
	var log bytes.Buffer
	p := &Poller{log: slog.New(slog.NewTextHandler(&log, nil)), metrics: admin.NewMetrics()}
	p.tell([]exchange.Repair{
		{Cause: change.CauseSlot, Tables: []string{"public.a", "public.b"}},
		{Cause: change.CauseRules, Tables: []string{"public.a"}, Left: true},
		{Cause: "novel", Tables: []string{"public.c"}},
	})
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != 3 {
		t.Fatalf("%d lines:\n%s", len(lines), log.String())
	}
	for i, parts := range [][]string{
		{"level=WARN", "the slot begins later", "nothing to do", "tables=public.a,public.b"},
		{"level=WARN", "rules have changed", "nothing is done", "POLLER_REPAIR does not have rules", "poller verify --repair"},
		{"cause=novel", "public.c"},
	} {
		for _, part := range parts {
			if !strings.Contains(lines[i], part) {
				t.Errorf("%q is not in %s", part, lines[i])
			}
		}
	}
	counted := map[string]float64{}
	families, err := p.metrics.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "freshet_repairs_total" {
			for _, m := range f.GetMetric() {
				counted[m.GetLabel()[0].GetValue()+" "+m.GetLabel()[1].GetValue()] = m.GetCounter().GetValue()
			}
		}
	}
	if counted["slot yes"] != 1 || counted["rules no"] != 1 || counted["novel yes"] != 1 {
		t.Errorf("counted are %v", counted)
	}
}

func TestVanished(t *testing.T) {
	here := replication.Survey{Timeline: 1}
	for _, c := range []struct {
		name           string
		repair         string
		streamed       int32
		survey         replication.Survey
		gone, blocking bool
	}{
		{"the first start", "all", 0, here, false, false},
		{"it is there", "all", 1, replication.Survey{Timeline: 1, SlotExists: true}, false, false},
		{"dropped", "all", 1, here, true, false},
		{"dropped, and left to a person", "rules,promoted", 1, here, true, true},
		{"a promoted standby never had it", "rules,promoted", 1, replication.Survey{Timeline: 2}, false, false},
	} {
		p := &Poller{slot: slotMemory{timeline: c.streamed}}
		p.config.Repair = c.repair
		e := p.vanished(c.survey)
		if (e != nil) != c.gone || e != nil && (e.Warning == c.blocking || e.Fix == "") {
			t.Errorf("%s: %+v", c.name, e)
		}
	}
}

// A warning that stands is said once, not at the beginning of every life; one that comes back is said again.
func TestWarn(t *testing.T) {
	var log bytes.Buffer
	p := &Poller{log: slog.New(slog.NewTextHandler(&log, nil))}
	one := (&Poller{slot: slotMemory{timeline: 1}, config: Config{Repairs: Repairs{Repair: "all"}}}).vanished(replication.Survey{Timeline: 1})
	for i, c := range []struct{ found, said int }{{1, 1}, {1, 1}, {0, 1}, {1, 2}} {
		p.warn(slices.Repeat(problem.List{one}, c.found))
		if n := strings.Count(log.String(), "is gone"); n != c.said {
			t.Errorf("step %d: said %d times, want %d", i, n, c.said)
		}
	}
}

func TestLetGo(t *testing.T) {
	p := &Poller{slot: slotMemory{stuck: make(chan int32, 1)}}
	p.senderStuck(7)
	p.senderStuck(7) // nobody listens: it must not wait
	l := &life{Poller: p, stream: &replication.Stream{PID: 8}}
	ended := make(chan error, 1)
	go func() { ended <- l.letGo(t.Context()) }()
	for len(p.slot.stuck) > 0 {
		runtime.Gosched()
	}
	select {
	case err := <-ended:
		t.Fatalf("another poller's stream ended the life: %v", err)
	default:
	}
	p.senderStuck(8)
	if err := <-ended; !errors.Is(err, errLetGo) {
		t.Errorf("got %v", err)
	}
	if final(errLetGo) {
		t.Error("it ends the poller")
	}
}
