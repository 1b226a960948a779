package operate_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"freshet/poller/operate"
	"freshet/shared/change"
	"freshet/shared/exchange"
)

// verified is a comparison that is done.
func verified(tables ...operate.VerifiedTable) operate.Verification {
	return operate.Verification{ID: "1", State: operate.VerifyDone, Tables: tables}
}

func wantText(t *testing.T, got, want string) {
	t.Helper()
	if diff := cmp.Diff(strings.Split(strings.TrimPrefix(want, "\n"), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("%s\n%s", diff, got)
	}
}

var (
	orders   = operate.VerifiedTable{Table: "public.orders", Rows: 20_114, Total: 20_000, Keys: 20_114, Tally: exchange.Tally{Match: 20_114}}
	products = operate.VerifiedTable{
		Table: "public.products", Rows: 1_000_000, Keys: 1_001_237, Tally: exchange.Tally{Match: 999_997, Missing: 1, Stale: 2, Orphan: 1_238},
		Examples: []operate.Example{
			{Kind: exchange.Orphan, Key: "sequin:products:x"}, {Kind: exchange.Stale, Key: "sequin:products:42"}, {Kind: exchange.Missing, Key: "sequin:products:17"},
			{Kind: exchange.Stale, Key: "sequin:products:43"}, {Kind: exchange.Orphan, Key: "sequin:products:\x1b[31m\n"}, {Kind: exchange.Orphan, Key: "sequin:products:\xef\xbf\xbd"},
		},
	}
	sessions = operate.VerifiedTable{
		Table: `web."Sessions"`, Rows: 512, Keys: 300, Tally: exchange.Tally{Match: 300, Absent: 212},
		Notes: []string{"keys without rows cannot be found: the key uses {record.token}, which is not the primary key"},
	}
)

func TestReport_Equal(t *testing.T) {
	wantText(t, operate.Report(verified(orders)), `
table            rows    keys   match  missing  stale  orphan
public.orders  20,114  20,114  20,114        0      0       0
equal
`)
}

func TestReport_Differs(t *testing.T) {
	v := verified(orders, products, sessions)
	wantText(t, operate.Report(v), `
table                 rows       keys    match  missing  stale  orphan  absent
public.orders       20,114     20,114   20,114        0      0       0       0
public.products  1,000,000  1,001,237  999,997        1      2   1,238       0
web."Sessions"         512        300      300        0      0       0     212

public.products
  missing  sequin:products:17
  stale    sequin:products:42
  stale    sequin:products:43
  orphan   sequin:products:x
  orphan   "sequin:products:\x1b[31m\n"
  orphan   sequin:products:�
           and 1,235 more

web."Sessions"
  note     keys without rows cannot be found: the key uses {record.token}, which is not the primary key

1,241 keys differ, as far as could be compared: see the notes
`)
}

func TestReport_Repaired(t *testing.T) {
	repaired := products
	repaired.Examples, repaired.Repaired = nil, repaired.Wrong()-1
	repaired.Unsettled = 3
	v := verified(repaired)
	v.Repair = true
	wantText(t, operate.Report(v), `
table                 rows       keys    match  missing  stale  orphan  repaired  unsettled
public.products  1,000,000  1,001,237  999,997        1      2   1,238     1,240          3
1 key differs, 1,240 keys were repaired, nothing can be said of 3 rows that changed at every look
`)
}

func TestVerdict(t *testing.T) {
	table := func(stale, repaired, unsettled int64) operate.VerifiedTable {
		return operate.VerifiedTable{Tally: exchange.Tally{Stale: stale}, Repaired: repaired, Unsettled: unsettled}
	}
	ended := func(state operate.VerifyState, tables ...operate.VerifiedTable) operate.Verification {
		return operate.Verification{State: state, Tables: tables}
	}
	sampled := verified(table(0, 0, 0))
	sampled.Sample = 0.01
	whole := verified(table(0, 0, 0))
	whole.Sample = 1
	for _, c := range []struct {
		v     operate.Verification
		equal bool
		want  string
	}{
		{verified(), true, "equal"},
		{sampled, true, "equal, in a sample of 1%"},
		{whole, true, "equal"},
		{verified(table(1, 0, 0)), false, "1 key differs"},
		{verified(table(2, 0, 0), table(3, 0, 0)), false, "5 keys differ"},
		{verified(table(2, 2, 0)), true, "equal, 2 keys were repaired"},
		{verified(table(1, 1, 0)), true, "equal, 1 key was repaired"},
		{verified(table(2, 0, 0), table(0, 2, 0)), false, "2 keys differ, 2 keys were repaired"}, // what cannot be must not hide anything
		{verified(table(0, 0, 1)), false, "not known to be equal, nothing can be said of 1 row that changed at every look"},
		{verified(sessions), true, "equal, as far as could be compared: see the notes"},
		{ended(operate.VerifyCancelled), false, "not finished (cancelled): 0 keys differ so far"},
		{ended(operate.VerifyFailed, table(2, 1, 0)), false, "not finished (failed): 1 key differs so far, 1 key was repaired"},
		{ended(operate.VerifyRunning), false, "not finished (running): 0 keys differ so far"},
	} {
		if got := operate.Verdict(c.v); got != c.want || c.v.Equal() != c.equal {
			t.Errorf("got %q, %v, want %q, %v", got, c.v.Equal(), c.want, c.equal)
		}
	}
}

func TestList(t *testing.T) {
	sweeping := backfill("public.events", 900, 0, change.Backfill{State: change.BackfillSweeping, Rows: 900, Cause: change.CauseRules})
	all := []operate.Backfill{
		sweeping,
		backfill("public.orders", 20_000, 0, change.Backfill{State: change.BackfillDone, Rows: 20_114, Cause: change.CauseStart}),
		backfill("public.products", 1_000_000, 12_000, change.Backfill{State: change.BackfillRunning, Rows: 450_000, Cause: change.CauseAsked, Where: "price > 10"}),
	}
	wantText(t, operate.List(all), `
table            state        rows   of about  per second  left  cause  where
public.events    sweeping      900        900                    rules
public.orders    done       20,114                               start
public.products  reading   450,000  1,000,000      12,000   46s  asked  price > 10
`)
	wantText(t, operate.List(all[1:2]), `
table          state    rows  cause
public.orders  done   20,114  start
`)
}
