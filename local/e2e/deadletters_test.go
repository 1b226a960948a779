package e2e_test

import (
	"strings"
	"testing"
)

// letters runs a command about dead letters to its end.
func (r *rig) letters(wantCode int, args ...string) string {
	r.Helper()
	output, code := runOnce(r.T, binaries(r.T).Poller, r.pollerEnv(), append([]string{"dead-letters"}, args...)...)
	if code != wantCode {
		r.Fatalf("dead-letters %v: exit code %d, want %d:\n%s", args, code, wantCode, output)
	}
	return output
}

// letterOf is the id of the newest letter whose line has this in it.
func (r *rig) letterOf(part string) (id string) {
	r.Helper()
	list := r.letters(0, "list")
	for line := range strings.Lines(list) {
		if strings.Contains(line, part) {
			id, _, _ = strings.Cut(line, " ")
		}
	}
	if id == "" {
		r.Fatalf("no letter with %q:\n%s", part, list)
	}
	return id
}

// Two rows that cannot be written, one too large for its value and one too large for a request, among others that can.
func TestPoisonStaysAlone(t *testing.T) {
	t.Parallel()
	r := newRig(t, "papers", "CREATE TABLE papers (id int PRIMARY KEY, body text); ALTER TABLE papers ALTER body SET STORAGE EXTERNAL;")
	r.fnExtra["FN_MAX_VALUE"], r.fnExtra["FN_MAX_BODY"] = "3000", "8000"
	r.exec("INSERT INTO papers SELECT n, 'short' FROM generate_series(1, 50) n")
	r.start()
	r.wantEqual(patience, "papers")

	r.exec("UPDATE papers SET body = CASE id WHEN 7 THEN repeat('x', 4000) WHEN 8 THEN repeat('y', 20000) WHEN 9 THEN repeat('z', 5000) ELSE 'new' END")
	for _, key := range []string{"sequin:papers:7", "sequin:papers:8", "sequin:papers:9"} {
		r.wantNoKey(key) // a miss is honest, an old value is not
	}
	r.wantValue("sequin:papers:50", `{"id":50,"body":"new"}`)
	list := r.letters(0, "list")
	for _, says := range []string{"a value is too large", "FN_MAX_BODY", "public.papers", "sequin:papers:8"} {
		if !strings.Contains(list, says) {
			t.Errorf("the list does not say %q:\n%s", says, list)
		}
	}
	shown := r.letters(0, "show", r.letterOf("sequin:papers:8"))
	if !strings.Contains(shown, `"id": 8`) || strings.Contains(shown, "yyy") || !strings.Contains(shown, "no: row not kept") {
		t.Errorf("shown:\n%s", shown)
	}
	output, code := runOnce(t, binaries(t).Poller, r.pollerEnv(), "check")
	wantReport(t, output, code, 0, "3 messages could not be written")

	// Newer changes have precedence over the letters of their rows.
	seven, nine := r.letterOf("sequin:papers:7"), r.letterOf("sequin:papers:9")
	r.exec("UPDATE papers SET body = 'short again' WHERE id = 7")
	r.wantValue("sequin:papers:7", `{"id":7,"body":"short again"}`)
	r.kill(r.fn)
	r.fnExtra["FN_MAX_VALUE"] = "1MiB"
	r.launchFn()
	if output := r.letters(1, "replay", seven); !strings.Contains(output, "something newer") {
		t.Errorf("replay:\n%s", output)
	}
	if output := r.letters(0, "replay", nine); !strings.Contains(output, "1 dead letters written") {
		t.Errorf("replay:\n%s", output)
	}
	r.wantValue("sequin:papers:9", `{"id":9,"body":"`+strings.Repeat("z", 5000)+`"}`)
	r.exec("DELETE FROM papers WHERE id = 8")
	r.letters(1, "replay", "--all")
	r.wantEqual(patience, "papers")
	r.letters(0, "drop", "--all")
	if output := r.letters(0, "list"); !strings.Contains(output, "no dead letters") {
		t.Errorf("list:\n%s", output)
	}
	r.letters(2, "burn")
}

// A restart of the poller, and one of the function, do not bury a message twice.
func TestPoisonIsKeptOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, "papers", "CREATE TABLE papers (id int PRIMARY KEY, body text)")
	r.fnExtra["FN_MAX_VALUE"] = "1000"
	r.start()
	r.exec("INSERT INTO papers SELECT n, CASE WHEN n % 10 = 0 THEN repeat('x', 2000) ELSE 'short' END FROM generate_series(1, 100) n")
	r.wantValue("sequin:papers:99", `{"id":99,"body":"short"}`)
	for range 2 {
		r.kill(r.poller)
		r.kill(r.fn)
		r.start()
		r.exec("INSERT INTO papers SELECT max(id) + 1, 'short' FROM papers")
		key := "sequin:papers:" + r.text("SELECT max(id) FROM papers")
		eventually(t, patience, func() error {
			if _, there := r.get(key); !there {
				return errNotYet
			}
			return nil
		})
	}
	if n := strings.Count(r.letters(0, "list"), "a value is too large"); n != 10 {
		t.Errorf("%d letters, want 10", n)
	}
}

func TestPoisonHoldsItsLaneWhereAsked(t *testing.T) {
	t.Parallel()
	r := newRig(t, "papers", "CREATE TABLE papers (id int PRIMARY KEY, body text)")
	r.fnExtra["FN_MAX_VALUE"], r.fnExtra["FN_ON_POISON"] = "1000", "hold"
	r.pollExtra["POLLER_HOLD_PAUSE"] = "100ms"
	r.start()
	r.exec("INSERT INTO papers VALUES (1, repeat('x', 2000))")
	eventually(t, patience, func() error {
		if _, body, err := fetch("http://" + r.adminAddr() + "/readyz"); err != nil || !strings.Contains(body, "a value is too large") {
			return errNotYet
		}
		return nil
	})
	r.kill(r.fn)
	delete(r.fnExtra, "FN_MAX_VALUE")
	r.launchFn()
	r.wantEqual(patience, "papers")
	if output := r.letters(0, "list"); !strings.Contains(output, "no dead letters") {
		t.Errorf("list:\n%s", output)
	}
}
