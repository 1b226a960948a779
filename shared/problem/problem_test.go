package problem_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"freshet/shared/problem"
)

var (
	walLevel = &problem.Error{What: `cannot stream from slot "orders"`, Why: "wal_level is \"replica\";\nlogical decoding needs \"logical\"", Fix: "set it"}
	down     = &problem.Error{What: "Redis does not answer", Transient: true}
	hint     = &problem.Error{What: "maxmemory is 0", Warning: true}
)

func TestPrint(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{walLevel, "poller: cannot stream from slot \"orders\"\n  why: wal_level is \"replica\";\n       logical decoding needs \"logical\"\n  fix: set it\n"},
		{fmt.Errorf("start: %w", problem.List{down, hint}), "poller: Redis does not answer\npoller: maxmemory is 0\n"},
		{errors.New("open slot: no"), "poller: open slot: no\n"},
	} {
		var b strings.Builder
		problem.Print(&b, "poller", c.err)
		if b.String() != c.want {
			t.Errorf("got\n%swant\n%s", b.String(), c.want)
		}
	}
}

func TestList(t *testing.T) {
	all := problem.List{walLevel, down, hint}
	if err := (problem.List{}).OrNil(); err != nil {
		t.Errorf("an empty list is the error %v", err)
	}
	if got, want := all.OrNil().Error(), walLevel.Error()+"; Redis does not answer; maxmemory is 0"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := all.Blocking(); len(got) != 2 {
		t.Errorf("got %v", got)
	}
	if all.Transient() || (problem.List{}).Transient() || !(problem.List{down}).Transient() {
		t.Error("a list passes by itself when all of it does")
	}
}

func TestDetails_ThereAndBack(t *testing.T) {
	for _, e := range []*problem.Error{walLevel, down, hint} {
		body, err := json.Marshal(e.Details(409, "lost"))
		if err != nil {
			t.Fatal(err)
		}
		d := problem.Parse(body, 500)
		if d.Status != 409 || d.Reason != "lost" || *d.Error() != *e {
			t.Errorf("got %+v from %s", d, body)
		}
	}
}

func TestParse_TakesAnyBody(t *testing.T) {
	for body, want := range map[string]string{
		"": "", " upstream timed out\n": "upstream timed out", `{"error":"x"}`: `{"error":"x"}`, `["x"]`: `["x"]`,
		strings.Repeat("ü", 150) + "x": strings.Repeat("ü", 100) + "...",
		"x" + strings.Repeat("ü", 150): "x" + strings.Repeat("ü", 99) + "...",
	} {
		if d := problem.Parse([]byte(body), 502); d.Detail != want || d.Title != "answer 502" || d.Status != 502 {
			t.Errorf("%q: got %+v", body, d)
		}
	}
}
