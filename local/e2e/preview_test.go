package e2e_test

import (
	"strings"
	"testing"
)

// preview runs the command, with other rules than those of the rig's function where fn says so.
func (r *rig) preview(wantCode int, args ...string) string {
	r.Helper()
	output, code := runOnce(r.T, binaries(r.T).Poller, r.pollerEnv(), append([]string{"preview"}, args...)...)
	if code != wantCode {
		r.Fatalf("preview %v: exit code %d, want %d:\n%s", args, code, wantCode, output)
	}
	return output
}

func wantOutput(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got:\n%swant:\n%s", got, want)
	}
}

func TestPreview(t *testing.T) {
	t.Parallel()
	r := newRig(t, "goods WHERE (price > 1)", `CREATE TABLE goods (id int, part text, price numeric, PRIMARY KEY (id, part)); ALTER TABLE goods REPLICA IDENTITY FULL; CREATE TABLE bare (a int); CREATE TABLE empty (a int PRIMARY KEY);
		INSERT INTO goods VALUES (1, 'a', 1), (2, 'b', 12.50), (3, 'c', 3), (4, 'd', 4), (5, 'e', 5)`)
	r.launchFn()
	wantOutput(t, r.preview(0, "goods", "--limit", "2"), `row {"id":2,"part":"b"}
  SET      sequin:goods:2-b
  value    {"id":2,"part":"b","price":12.50}
row {"id":3,"part":"c"}
  SET      sequin:goods:3-c
  value    {"id":3,"part":"c","price":3}
`)
	if keys := r.keys(); len(keys) > 0 {
		t.Fatalf("a preview wrote %v", keys)
	}
	if slots := r.text("SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1", r.name); slots != "0" {
		t.Error("a preview made a slot")
	}

	// A rule that is tried before it is deployed, beside what is there.
	r.put("sequin:goods:2-b", `{"id":2,"part":"b","price":12.50}`)
	r.put("sequin:goods:3-c", "3")
	r.kill(r.fn)
	r.fnExtra["FN_VALUE"], r.fnExtra["FN_EXPIRE_MS"], r.fnExtra["FN_MAX_VALUE"] = "record.price", "3600000", "4"
	r.launchFn()
	wantOutput(t, r.preview(0, "--against", "public.goods", "--where", "price IN (3, 4, 12.5)"), `row {"id":2,"part":"b"}
  DEL      sequin:goods:2-b
  why      a value is too large: it has 5 bytes, more than the 4 of FN_MAX_VALUE (fix: store less of the row with FN_VALUE; or raise FN_MAX_VALUE, and proto-max-bulk-len of the Redis where that is lower)
  now      {"id":2,"part":"b","price":12.50}
  XADD     freshet:freshet:dead
  why      a value is too large: it has 5 bytes, more than the 4 of FN_MAX_VALUE (fix: store less of the row with FN_VALUE; or raise FN_MAX_VALUE, and proto-max-bulk-len of the Redis where that is lower)
row {"id":3,"part":"c"}
  SET      sequin:goods:3-c
  value    3
  expires  in 1h0m0s
  now      the same
row {"id":4,"part":"d"}
  SET      sequin:goods:4-d
  value    4
  expires  in 1h0m0s
  now      no such key
`)
	r.kill(r.fn)
	r.fnExtra["FN_ACTIONS"], r.fnExtra["FN_ON_POISON"] = "delete", "hold"
	r.launchFn()
	wantOutput(t, r.preview(0, "goods", "--where", "id = 5"), "row {\"id\":5,\"part\":\"e\"}\n  nothing  the rules leave it out\n")
	delete(r.fnExtra, "FN_ACTIONS")
	r.kill(r.fn)
	r.launchFn()
	if output := r.preview(0, "goods", "--where", "id = 2"); !strings.Contains(output, "  refused  ") || !strings.Contains(output, "a value is too large") {
		t.Errorf("got:\n%s", output)
	}
	wantOutput(t, r.preview(0, "empty"), "no rows\n")

	for _, c := range []struct {
		code int
		says string
		args []string
	}{
		{1, "does not exist", []string{"nothing"}},
		{1, "has no primary key", []string{"bare"}},
		{1, `column "prize" does not exist`, []string{"goods", "--where", "prize > 1"}},
		{2, "names no table", nil},
		{2, "--limit is 0", []string{"goods", "--limit", "0"}},
		{2, "too much", []string{"goods", "empty"}},
		{2, "not defined", []string{"goods", "--colour"}},
		{0, "usage:", []string{"--help"}},
	} {
		if output := r.preview(c.code, c.args...); !strings.Contains(output, c.says) {
			t.Errorf("%v: it does not say %q:\n%s", c.args, c.says, output)
		}
	}
	r.pollExtra["POLLER_FENCE"] = "off"
	if output := r.preview(1, "goods"); !strings.Contains(output, "POLLER_FENCE is off") {
		t.Errorf("got:\n%s", output)
	}
}
