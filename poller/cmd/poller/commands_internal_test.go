package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"freshet/poller/admin"
	"freshet/poller/operate"
	"freshet/poller/operate/operatetest"
	"freshet/shared/change"
	"freshet/shared/exchange"
	"freshet/shared/problem"
)

// serve stands for a running poller: the environment says where it is, and nothing else.
func serve(t *testing.T, o operate.Operator) {
	t.Helper()
	for _, entry := range os.Environ() {
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "POLLER_") || name == "DATABASE_URL" {
			t.Setenv(name, "") // so that it is put back
			os.Unsetenv(name)
		}
	}
	health := admin.NewHealth(func() (*problem.Error, time.Time) { return nil, time.Time{} })
	server := httptest.NewServer(admin.Handler(health, admin.NewMetrics(), http.NotFoundHandler(), operate.Handler(o)))
	t.Cleanup(server.Close)
	t.Setenv("POLLER_ADMIN_ADDR", strings.TrimPrefix(server.URL, "http://"))
}

// result is what one command came to.
type result struct {
	*testing.T
	code           int
	stdout, stderr string
	said           string // the message that main prints of the error
}

func command(t *testing.T, args ...string) result {
	t.Helper()
	return commandUnder(t.Context(), t, args...)
}

func commandUnder(ctx context.Context, t *testing.T, args ...string) result {
	t.Helper()
	var stdout, stderr, said bytes.Buffer
	err := run(ctx, args, &stdout, &stderr)
	if err != nil && !errors.Is(err, errToldAlready) {
		problem.Print(&said, "poller", err)
	}
	return result{t, exitCode(err), stdout.String(), stderr.String(), said.String()}
}

// wants wants this code, and an output that says all of this.
func (r result) wants(code int, says ...string) result {
	r.Helper()
	all := r.stdout + r.stderr + r.said
	if r.code != code {
		r.Errorf("exit code %d, want %d:\n%s", r.code, code, all)
	}
	for _, part := range says {
		if !strings.Contains(all, part) {
			r.Errorf("it does not say %q:\n%s", part, all)
		}
	}
	return r
}

// prints wants exactly this on stdout.
func (r result) prints(text string) result {
	r.Helper()
	if r.stdout != text {
		r.Errorf("got\n%swant\n%s", r.stdout, text)
	}
	return r
}

func TestBackfill_FollowsToItsEnd(t *testing.T) {
	o := operatetest.New(100, "public.orders", "public.products")
	serve(t, o)
	r := command(t, "backfill", "Products", "--where", "price > 10")
	r.wants(0).prints("public.products: reading, 0%, 0 of about 100 rows\n" +
		"public.products: sweeping, 0 keys\n" +
		lastLine(r.stdout))
	if !strings.HasPrefix(lastLine(r.stdout), "public.products: done in ") || !strings.HasSuffix(r.stdout, "s, 100 rows\n") {
		t.Errorf("got %s", r.stdout)
	}
	if b := o.Look("public.products"); b.Where != "price > 10" || b.State != change.BackfillDone || o.Look("public.orders").Cause != change.CauseStart {
		t.Errorf("got %+v", b)
	}
	command(t, "backfill", "--all").wants(0, "public.orders: done", "public.products: done")
}

func lastLine(text string) string {
	lines := strings.SplitAfter(text, "\n")
	return lines[max(0, len(lines)-2)]
}

func TestBackfill_Detached(t *testing.T) {
	o := operatetest.New(100, "public.orders", "public.products")
	serve(t, o)
	command(t, "backfill", "--detach", "orders", "products").wants(0).prints(
		"public.orders: waiting, 0%, 0 of about 100 rows\npublic.products: waiting, 0%, 0 of about 100 rows\npoller backfill list shows how far it is\n")
	if o.Look("public.orders").State != change.BackfillPending {
		t.Error("it was followed")
	}
	o.PerLook = 0
	command(t, "backfill", "list").wants(0).prints(
		"table            state    rows  of about  cause\npublic.orders    waiting     0       100  asked\npublic.products  waiting     0       100  asked\n")
	command(t, "backfill", "pause", "orders", "public.products").wants(0).prints("public.orders: paused, 0%, 0 of about 100 rows\npublic.products: paused, 0%, 0 of about 100 rows\n")
	command(t, "backfill", "resume", "orders").wants(0).prints("public.orders: waiting, 0%, 0 of about 100 rows\n")
	command(t, "backfill", "cancel", "orders", "nothing", "orders", "products").
		wants(2, "public.nothing is not mirrored", "there is nothing to cancel", "the backfill of public.orders is cancelled").
		prints("public.orders: cancelled, 0 rows\npublic.products: cancelled, 0 rows\n")
	command(t, "backfill", "cancel", "orders").wants(1, "there is nothing to cancel")
}

// A table whose name is a verb is written with its schema, and everything after -- is a name.
func TestBackfill_TablesNamedLikeVerbs(t *testing.T) {
	o := operatetest.New(1, "public.pause", "public.list", `public."--all"`)
	serve(t, o)
	command(t, "backfill", "public.pause", "list").wants(0, "public.pause: done", "public.list: done")
	if o.Look("public.pause").Cause != change.CauseAsked || o.Look("public.list").Cause != change.CauseAsked {
		t.Error("they were not read")
	}
	command(t, "backfill", "--detach", "--", `"--all"`).wants(0, `public."--all": waiting`)
	command(t, "backfill", "pause", "pause").wants(1, "nothing to pause")
}

func TestBackfill_Cancelled(t *testing.T) {
	o := operatetest.New(100, "public.orders", "public.products")
	o.PerLook = 0
	serve(t, o)
	time.AfterFunc(300*time.Millisecond, func() {
		o.ChangeBackfill(context.Background(), "public.orders", operate.Cancel)
		o.Forget("public.products")
	})
	command(t, "backfill", "orders", "products").wants(1, "public.orders: cancelled, 0 rows", "poller: public.orders was not read to its end\n  why: its backfill is cancelled",
		"poller: public.products was not read to its end\n  why: it is not mirrored any more")
}

// An interrupt ends the following, not the backfill.
func TestBackfill_Interrupted(t *testing.T) {
	o := operatetest.New(100, "public.orders")
	o.PerLook = 0
	serve(t, o)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	r := commandUnder(ctx, t, "backfill", "orders").wants(1)
	const want = "poller: the backfill is not followed any more\n  why: the poller goes on with it by itself\n" +
		"  fix: poller backfill list shows it; poller backfill cancel TABLE ends it\n"
	if r.said != want || o.Look("public.orders").State != change.BackfillPending {
		t.Errorf("got\n%swant\n%s", r.said, want)
	}
}

func TestBackfill_WrongUsage(t *testing.T) {
	o := operatetest.New(1, "public.orders", "public.products")
	serve(t, o)
	for _, c := range []struct {
		args string
		says []string
	}{
		{"", []string{"no table is named", "mirrored are: public.orders, public.products", "--all"}},
		{"--detach", []string{"no table is named"}},
		{"--all orders", []string{"--all is given"}},
		{"orders --all", []string{"--all is given"}},
		{"orders products --where x", []string{"--where needs one table"}},
		{"--all --where x", []string{"--where needs one table"}},
		{"orders --where x -- products", []string{"--where needs one table"}},
		{"orders --where=", []string{"--where is empty"}},
		{"orders --where", []string{"flag needs an argument", "poller help"}},
		{"orders --whre x", []string{"-whre", "poller help"}},
		{"pause", []string{"backfill pause needs the name of a table", "public.pause"}},
		{"list orders", []string{"takes no names", "public.list"}},
		{"cancel --all", []string{"backfill cancel takes no flags", "--all"}},
		{"a.b.c", []string{"a table's name cannot be read"}},
		{"customers", []string{"public.customers is not mirrored"}},
	} {
		command(t, append([]string{"backfill"}, strings.Fields(c.args)...)...).wants(2, c.says...).prints("")
	}
	if o.Look("public.orders").Cause != change.CauseStart {
		t.Error("something was begun")
	}
}

var differing = map[string]operate.VerifiedTable{"public.products": {
	Tally:    exchange.Tally{Match: 97, Missing: 1, Stale: 2},
	Examples: []operate.Example{{Kind: exchange.Missing, Key: "sequin:products:1"}, {Kind: exchange.Stale, Key: "sequin:products:2"}},
}}

func TestVerify_Equal(t *testing.T) {
	o := operatetest.New(100, "public.orders", "public.products")
	o.Differ = map[string]operate.VerifiedTable{"public.products": {Tally: exchange.Tally{Match: 100}}}
	serve(t, o)
	r := command(t, "verify").wants(0).prints(`table            rows  keys  match  missing  stale  orphan
public.orders     100   100    100        0      0       0
public.products   100   100    100        0      0       0
equal
`)
	want := "public.orders: comparing, 0%, 0 of about 100 rows\npublic.products: comparing, 0%, 0 of about 100 rows\n" +
		"public.orders: looking for orphans, 0 keys\npublic.products: looking for orphans, 0 keys\npublic.orders: done, 100 rows\npublic.products: done, 100 rows\n"
	if r.stderr != want {
		t.Errorf("got\n%swant\n%s", r.stderr, want)
	}
	command(t, "verify", "--sample", "1%", "orders", "--examples=3").wants(0, "equal, in a sample of 1%\n")
	command(t, "verify", "--sample", "0.25", "--", "orders").wants(0, "equal, in a sample of 25%\n")
	asked := o.Asked()
	if got := asked[1]; got.Sample != 0.01 || got.Examples != 3 || len(got.Tables) != 1 || got.Tables[0] != "public.orders" || got.Repair {
		t.Errorf("got %+v", got)
	}
}

func TestVerify_Different(t *testing.T) {
	o := operatetest.New(100, "public.orders", "public.products")
	o.Differ = differing
	serve(t, o)
	r := command(t, "verify", "products").wants(1).prints(`table            rows  keys  match  missing  stale  orphan
public.products   100   100     97        1      2       0

public.products
  missing  sequin:products:1
  stale    sequin:products:2
           and 1 more

3 keys differ
`)
	if r.said != "" {
		t.Errorf("it says more: %s", r.said)
	}
}

func TestVerify_Repairs(t *testing.T) {
	for _, c := range []struct {
		repaired, unsettled int64
		code                int
		says                string
	}{
		{3, 0, 0, "\nequal, 3 keys were repaired\n"},
		{2, 0, 1, "\n1 key differs, 2 keys were repaired\n"},
		{3, 1, 3, "\nnot known to be equal, 3 keys were repaired, nothing can be said of 1 row"},
	} {
		o := operatetest.New(100, "public.products")
		found := differing["public.products"]
		found.Repaired, found.Unsettled = c.repaired, c.unsettled
		o.Differ = map[string]operate.VerifiedTable{"public.products": found}
		serve(t, o)
		command(t, "verify", "--repair").wants(c.code, c.says)
		if !o.Asked()[0].Repair {
			t.Error("it was not asked to repair")
		}
	}
}

func TestVerify_JSON(t *testing.T) {
	o := operatetest.New(100, "public.products")
	o.Differ = differing
	serve(t, o)
	r := command(t, "verify", "--json").wants(1)
	var v operate.Verification
	if err := json.Unmarshal([]byte(r.stdout), &v); err != nil || v.Wrong() != 3 || v.State != operate.VerifyDone || len(v.Tables[0].Examples) != 2 {
		t.Errorf("got %v from %s", err, r.stdout)
	}
	if !strings.Contains(r.stderr, "public.products: comparing") {
		t.Errorf("progress is not on stderr: %q", r.stderr)
	}
}

func TestVerify_Interrupted(t *testing.T) {
	o := operatetest.New(100, "public.products")
	o.PerLook = 0
	serve(t, o)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	commandUnder(ctx, t, "verify").wants(3, "not finished (cancelled): 0 keys differ so far", "poller: the comparison was cancelled")
	if v, err := o.Verification(t.Context(), "v/1"); err != nil || v.State != operate.VerifyCancelled {
		t.Errorf("got %+v, %v", v, err)
	}
}

func TestVerify_Fails(t *testing.T) {
	o := operatetest.New(100, "public.products")
	o.Broken = &problem.Details{Title: "the function cannot be reached", Detail: "connection refused", Fix: "start it"}
	serve(t, o)
	command(t, "verify").wants(3, "not finished (failed)", "poller: the function cannot be reached\n  why: connection refused\n  fix: start it\n")
}

func TestVerify_LostByARestart(t *testing.T) {
	o := operatetest.New(100, "public.products")
	o.PerLook = 0
	serve(t, o)
	time.AfterFunc(300*time.Millisecond, func() { o.Forget("") })
	command(t, "verify").wants(3, "the comparison is lost", "the poller was restarted", "start it again")
}

func TestVerify_WrongUsage(t *testing.T) {
	o := operatetest.New(1, "public.products")
	serve(t, o)
	for args, says := range map[string]string{
		"--sample 0": "1% or 0.01", "--sample 101%": "1% or 0.01", "--sample much": "1% or 0.01", "--sample NaN": "1% or 0.01", "--sample": "needs an argument",
		"--examples 0": "--examples is 0", "--examples 1001": "use 1 to 1000", "--fix": "-fix", "products customers": "public.customers is not mirrored", "a.b.c": "cannot be read",
	} {
		command(t, append([]string{"verify"}, strings.Fields(args)...)...).wants(2, says).prints("")
	}
	if len(o.Asked()) != 0 {
		t.Error("something was begun")
	}
}

func TestNoPollerRuns(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	serve(t, nil)
	t.Setenv("POLLER_ADMIN_ADDR", l.Addr().String())
	says := []string{"poller: no poller runs at " + l.Addr().String(), "POLLER_ADMIN_ADDR", "kubectl exec"}
	command(t, "backfill", "products").wants(1, says...)
	command(t, "backfill", "list").wants(1, says...)
	command(t, "backfill", "pause", "products").wants(1, says...)
	command(t, "backfill").wants(2, append(says, "no table is named")...)
	command(t, "verify").wants(3, says...)
	t.Setenv("POLLER_ADMIN_ADDR", "9090")
	for _, name := range []string{"backfill list", "verify"} {
		command(t, strings.Fields(name)...).wants(2, `POLLER_ADMIN_ADDR is "9090"`)
	}
}

func TestThePollerIsStarting(t *testing.T) {
	serve(t, nil)
	command(t, "backfill", "products").wants(1, "the poller is starting")
	command(t, "verify").wants(3, "the poller is starting")
}

// The health of a poller needs no more settings than where it is.
func TestHealthcheck(t *testing.T) {
	serve(t, nil)
	command(t, "healthcheck").wants(0).prints("")
	t.Setenv("POLLER_TABELS", "misspelt, which is the running poller's business")
	command(t, "healthcheck").wants(0)
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	t.Setenv("POLLER_ADMIN_ADDR", strings.TrimPrefix(server.URL, "http://"))
	command(t, "healthcheck").wants(1, "404")
}

func TestUsage(t *testing.T) {
	serve(t, nil)
	for _, args := range [][]string{{"help"}, {"-h"}, {"--help"}, {"backfill", "-h"}, {"backfill", "products", "--help"}, {"verify", "--help"}} {
		command(t, args...).wants(0).prints(usage)
	}
	for _, word := range []string{"run ", "check ", "backfill ", "verify ", "healthcheck ", "help "} {
		if !strings.Contains(usage, "\n  "+word) {
			t.Errorf("the usage does not list %s", word)
		}
	}
	command(t, "frobnicate").wants(2, `unknown command "frobnicate"`, "poller help")
	command(t, "frobnicate", "x").wants(2, `unknown command "frobnicate"`)
	command(t, "check", "x").wants(2, "check takes no arguments")
	command(t, "run").wants(2, "DATABASE_URL is needed")
	command(t).wants(2, "POLLER_TABLES is needed")
}
