package operate_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"freshet/poller/operate"
	"freshet/poller/operate/operatetest"
	"freshet/shared/change"
	"freshet/shared/problem"
)

// serve serves the operator, and makes a client of it.
func serve(t *testing.T, o operate.Operator) (client *operate.Client, url string) {
	t.Helper()
	return dial(t, operate.Handler(o))
}

func dial(t *testing.T, handler http.Handler) (client *operate.Client, url string) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	client, err := operate.NewClient(strings.TrimPrefix(server.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	return client, server.URL
}

// The client must be to a caller what the operator behind the server is.
var _ operate.Operator = (*operate.Client)(nil)

func TestBackfill_OverHTTP(t *testing.T) {
	o := operatetest.New(100, "public.orders", "public.products")
	o.PerLook = 60
	client, _ := serve(t, o)
	started, err := client.StartBackfill(t.Context(), operate.BackfillRequest{Tables: []string{"Products", "public.products"}, Where: " price > 10 "})
	if err != nil || len(started) != 1 {
		t.Fatalf("got %+v, %v", started, err)
	}
	if b := started[0]; b.Table != "public.products" || b.State != change.BackfillPending || b.Where != "price > 10" || b.Total != 100 {
		t.Errorf("got %+v", b)
	}
	var states []change.BackfillState
	look := func() operate.Backfill {
		t.Helper()
		all, err := client.Backfills(t.Context())
		if err != nil || len(all) != 2 {
			t.Fatalf("got %+v, %v", all, err)
		}
		states = append(states, all[1].State)
		return all[1]
	}
	look()
	if b := look(); b.Rows != 60 {
		t.Errorf("got %+v", b)
	}
	paused, err := client.ChangeBackfill(t.Context(), "products", operate.Pause)
	if err != nil || !paused.Paused || paused.Rows != 60 {
		t.Errorf("got %+v, %v", paused, err)
	}
	look()
	if b := look(); !b.Paused || b.Rows != 60 {
		t.Errorf("it does not stand: %+v", b)
	}
	if b, err := client.ChangeBackfill(t.Context(), "public.products", operate.Resume); err != nil || b.Paused {
		t.Errorf("got %+v, %v", b, err)
	}
	look()
	look()
	want := []change.BackfillState{"running", "running", "running", "running", "sweeping", "done"}
	if diff := cmp.Diff(want, states); diff != "" {
		t.Error(diff)
	}
	_, err = client.ChangeBackfill(t.Context(), "products", operate.Cancel)
	wantRefusal(t, err, 409, "there is nothing to cancel")
}

func TestBackfill_AllTables(t *testing.T) {
	o := operatetest.New(1, "public.a", "public.b")
	client, _ := serve(t, o)
	started, err := client.StartBackfill(t.Context(), operate.BackfillRequest{All: true})
	if err != nil || len(started) != 2 {
		t.Fatalf("got %+v, %v", started, err)
	}
	if b, err := client.ChangeBackfill(t.Context(), "a", operate.Cancel); err != nil || b.State != change.BackfillCancelled {
		t.Errorf("got %+v, %v", b, err)
	}
}

// Names travel in the path, whatever is in them.
func TestTablesWithOddNames(t *testing.T) {
	names := []string{`public."a/b"`, `"..".".."`, `"My Shop"."100% ""sure"" ?x=#1"`, `public."Größe 表"`, `public."a;b//c"`, `public."ünï%2Fcode"`, `public.pause`, "public.\"new\nline\""}
	o := operatetest.New(1, names...)
	client, _ := serve(t, o)
	for _, name := range names {
		if _, err := client.StartBackfill(t.Context(), operate.BackfillRequest{Tables: []string{name}}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if b, err := client.ChangeBackfill(t.Context(), name, operate.Pause); err != nil || b.Table != name || !b.Paused {
			t.Errorf("%s: got %+v, %v", name, b, err)
		}
	}
}

func TestVerification_OverHTTP(t *testing.T) {
	o := operatetest.New(10, "public.a", "public.b")
	client, _ := serve(t, o)
	v, err := client.StartVerification(t.Context(), operate.VerifyRequest{Tables: []string{"b"}, Sample: 0.5, Repair: true, Examples: 7})
	if err != nil || v.State != operate.VerifyRunning || v.Sample != 0.5 || !v.Repair || len(v.Tables) != 1 {
		t.Fatalf("got %+v, %v", v, err)
	}
	if diff := cmp.Diff([]operate.VerifyRequest{{Tables: []string{"public.b"}, Sample: 0.5, Repair: true, Examples: 7}}, o.Asked()); diff != "" {
		t.Error(diff)
	}
	var steps []operate.VerifyStep
	for v.State == operate.VerifyRunning {
		if v, err = client.Verification(t.Context(), v.ID); err != nil {
			t.Fatal(err)
		}
		steps = append(steps, v.Tables[0].Step)
	}
	if diff := cmp.Diff([]operate.VerifyStep{"rows", "keys", "done", "done"}, steps); diff != "" || !v.Equal() || v.Tables[0].Match != 10 {
		t.Errorf("%s\n%+v", diff, v)
	}
	again, err := client.StartVerification(t.Context(), operate.VerifyRequest{})
	if err != nil || len(again.Tables) != 2 {
		t.Fatalf("got %+v, %v", again, err)
	}
	if v, err = client.CancelVerification(t.Context(), again.ID); err != nil || v.State != operate.VerifyCancelled || v.Equal() {
		t.Errorf("got %+v, %v", v, err)
	}
	_, err = client.Verification(t.Context(), "other")
	wantRefusal(t, err, 404, "there is no comparison other")
}

func wantRefusal(t *testing.T, err error, status int, what string) {
	t.Helper()
	var refusal *operate.Refusal
	if !errors.As(err, &refusal) || refusal.Status != status || !strings.Contains(refusal.Cause.What, what) {
		t.Errorf("got %v, want %d %s", err, status, what)
	}
}

func TestRefusedRequests(t *testing.T) {
	o := operatetest.New(1, "public.a", "public.b")
	_, url := serve(t, o)
	const asJSON = "application/json"
	for _, c := range []struct {
		name, method, path, kind, body string
		status                         int
		says                           []string
	}{
		{"nothing named", "POST", operate.RouteBackfills, asJSON, `{}`, 400, []string{"no table is named"}},
		{"no body", "POST", operate.RouteBackfills, asJSON, ``, 400, []string{"no table is named"}},
		{"null", "POST", operate.RouteBackfills, asJSON, `null`, 400, []string{"no table is named"}},
		{"both", "POST", operate.RouteBackfills, asJSON, `{"all":true,"tables":["a"]}`, 400, []string{"all of them"}},
		{"condition on all", "POST", operate.RouteBackfills, asJSON, `{"all":true,"where":"x"}`, 400, []string{"needs one table"}},
		{"condition on two", "POST", operate.RouteBackfills, asJSON, `{"tables":["a","b"],"where":"x"}`, 400, []string{"needs one table"}},
		{"blank condition", "POST", operate.RouteBackfills, asJSON, `{"tables":["a"],"where":" "}`, 400, []string{"condition is empty"}},
		{"odd name", "POST", operate.RouteBackfills, asJSON, `{"tables":["a b"]}`, 400, []string{"cannot be read", "POLLER_TABLES"}},
		{"pattern", "POST", operate.RouteBackfills, asJSON, `{"tables":["public.a.b"]}`, 400, []string{"cannot be read"}},
		{"not mirrored", "POST", operate.RouteBackfills, asJSON, `{"tables":["c"]}`, 404, []string{"public.c is not mirrored"}},
		{"misspelt", "POST", operate.RouteBackfills, asJSON, `{"tables":["a"],"were":"x","Where":"y"}`, 400, []string{`\"Where\", \"were\"`, "tables, all, where"}},
		{"wrong type", "POST", operate.RouteBackfills, asJSON, `{"tables":"a"}`, 400, []string{"cannot be read", "tables"}},
		{"no object", "POST", operate.RouteBackfills, asJSON, `["a"]`, 400, []string{"not a JSON object"}},
		{"two objects", "POST", operate.RouteBackfills, asJSON, `{"all":true}{}`, 400, []string{"not a JSON object"}},
		{"cut off", "POST", operate.RouteBackfills, asJSON, `{"all":`, 400, []string{"not a JSON object"}},
		{"form", "POST", operate.RouteBackfills, "application/x-www-form-urlencoded", `{"all":true}`, 415, []string{"not JSON", "Content-Type"}},
		{"plain", "POST", operate.RouteBackfills, "text/plain; application/json", `{"all":true}`, 415, nil},
		{"no type", "POST", "/api/backfills/a/pause", "", ``, 415, nil},
		{"large", "POST", operate.RouteBackfills, asJSON, `{"where":"` + strings.Repeat("x", 1<<20) + `"}`, 413, []string{"too large"}},
		{"unknown verb", "POST", "/api/backfills/a/stop", asJSON, ``, 404, []string{`\"stop\"`, "pause, resume or cancel"}},
		{"verb with a body", "POST", "/api/backfills/a/pause", asJSON, `{"for":"1h"}`, 400, []string{`\"for\"`, "leave it out"}},
		{"odd name in the path", "POST", "/api/backfills/a%20b/pause", asJSON, `{}`, 400, []string{"cannot be read"}},
		{"nothing runs", "POST", "/api/backfills/a/pause", asJSON, `{}`, 409, []string{"nothing to pause"}},
		{"sample", "POST", operate.RouteVerifications, asJSON, `{"sample":1.5}`, 400, []string{"1.5", "0.01"}},
		{"negative sample", "POST", operate.RouteVerifications, asJSON, `{"sample":-0.5}`, 400, []string{"-0.5"}},
		{"examples", "POST", operate.RouteVerifications, asJSON, `{"examples":1000000}`, 400, []string{"1000000", "1 to 1000"}},
		{"odd name to compare", "POST", operate.RouteVerifications, asJSON, `{"tables":["\"a"]}`, 400, []string{"double quote"}},
		{"misspelt comparison", "POST", operate.RouteVerifications, asJSON, `{"fix":true}`, 400, []string{`\"fix\"`, "tables, sample, repair, examples"}},
		{"unknown comparison", "GET", "/api/verifications/x", "", ``, 404, []string{"no comparison x"}},
		{"method", "DELETE", operate.RouteBackfills, "", ``, 405, []string{"DELETE", "GET, POST"}},
		{"method of a verb", "GET", "/api/backfills/a/pause", "", ``, 405, []string{"POST"}},
		{"method of one", "POST", "/api/verifications/x", asJSON, ``, 405, []string{"DELETE, GET"}},
		{"nowhere", "GET", "/api/backfill", "", ``, 404, []string{"nothing at /api/backfill", operate.RouteBackfills}},
		{"nowhere below", "POST", "/api/", asJSON, ``, 404, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			header := http.Header{}
			if c.kind != "" {
				header.Set("Content-Type", c.kind)
			}
			wantProblem(t, c.method, url+c.path, header, c.body, c.status, c.says...)
		})
	}
	if len(o.Asked()) != 0 || o.Look("public.a").State != change.BackfillDone {
		t.Error("something was begun")
	}
}

// wantProblem asks, and wants a problem that says all of this.
func wantProblem(t *testing.T, method, url string, header http.Header, body string, status int, says ...string) {
	t.Helper()
	got, kind, text := ask(t, method, url, header, body)
	var d problem.Details
	if err := json.Unmarshal([]byte(text), &d); err != nil || got != status || d.Status != status || d.Title == "" || kind != problem.ContentType {
		t.Errorf("got %d %s %s, want the problem %d", got, kind, text, status)
	}
	for _, part := range says {
		if !strings.Contains(text, part) {
			t.Errorf("%q is not said in %s", part, text)
		}
	}
}

func ask(t *testing.T, method, url string, header http.Header, body string) (status int, kind, text string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header = header
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	all, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header.Get("Content-Type"), string(all)
}

// What a browser sends for a page of another site is refused; what it sends for our own page, and what comes from no browser, is not.
func TestForeignPages(t *testing.T) {
	o := operatetest.New(1, "public.a")
	_, url := serve(t, o)
	const body = `{"all":true}`
	with := func(pairs ...string) http.Header {
		header := http.Header{"Content-Type": {"application/json"}}
		for i := 0; i < len(pairs); i += 2 {
			header.Set(pairs[i], pairs[i+1])
		}
		return header
	}
	for _, foreign := range []http.Header{
		with("Sec-Fetch-Site", "cross-site"), with("Sec-Fetch-Site", "same-site", "Origin", url), with("Origin", "https://evil.example"), with("Origin", "null"),
	} {
		wantProblem(t, "POST", url+operate.RouteBackfills, foreign, body, 403, "another site")
		wantProblem(t, "DELETE", url+"/api/verifications/x", foreign, "", 403)
	}
	if o.Look("public.a").State != change.BackfillDone {
		t.Error("a foreign page has begun a backfill")
	}
	for _, own := range []http.Header{with(), with("Sec-Fetch-Site", "same-origin"), with("Origin", url)} {
		if status, _, text := ask(t, "POST", url+operate.RouteBackfills, own, body); status != 202 {
			t.Errorf("%v: got %d %s", own, status, text)
		}
	}
}

func TestStarting(t *testing.T) {
	client, url := serve(t, nil)
	wantProblem(t, "GET", url+operate.RouteBackfills, nil, "", 503, "the poller is starting", "/readyz", `"transient":true`)
	_, err := client.StartVerification(t.Context(), operate.VerifyRequest{})
	wantRefusal(t, err, 503, "the poller is starting")
	wantProblem(t, "PUT", url+operate.RouteBackfills, nil, "", 405)
}

// broken is in trouble.
type broken struct {
	operate.Operator
	err error
}

func (b broken) Backfills(context.Context) ([]operate.Backfill, error) { return nil, b.err }

func TestTroubleOfThePoller(t *testing.T) {
	client, _ := serve(t, broken{err: errors.New("no connection")})
	_, err := client.Backfills(t.Context())
	wantRefusal(t, err, 500, "the poller could not do it")
	if !strings.Contains(err.Error(), "no connection") {
		t.Error(err)
	}
	client, _ = serve(t, broken{err: &problem.Error{What: "Postgres is away", Transient: true}})
	_, err = client.Backfills(t.Context())
	wantRefusal(t, err, 500, "Postgres is away")
	client, url := serve(t, broken{})
	if all, err := client.Backfills(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("got %v, %v", all, err)
	}
	if _, _, text := ask(t, "GET", url+operate.RouteBackfills, nil, ""); text != "[]\n" {
		t.Errorf("got %q", text)
	}
}

func TestClient_NobodyListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	client, err := operate.NewClient(addr)
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.Backfills(t.Context())
	var why *problem.Error
	if !errors.As(err, &why) || why.What != "no poller runs at "+addr || !why.Transient || !strings.Contains(why.Why, "refused") {
		t.Fatalf("got %v", err)
	}
	for _, part := range []string{"start it", "POLLER_ADMIN_ADDR", "kubectl exec"} {
		if !strings.Contains(why.Fix, part) {
			t.Errorf("the fix does not say %s: %s", part, why.Fix)
		}
	}
}

// Others listen on such ports too.
func TestClient_SomebodyElse(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"not found": http.NotFound,
		"a page":    func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") },
		"redirect":  func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/login", http.StatusFound) },
		"its own JSON": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, `{"status":"success"}`)
		},
	} {
		client, _ := dial(t, handler)
		_, err := client.Backfills(t.Context())
		var why *problem.Error
		if !errors.As(err, &why) || !strings.Contains(why.What, "is no poller of this version") || why.Transient || !strings.Contains(why.Fix, "POLLER_ADMIN_ADDR") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	client, _ := dial(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	_, err := client.Backfills(t.Context())
	var why *problem.Error
	if !errors.As(err, &why) || !strings.Contains(why.What, "does not answer") || !why.Transient {
		t.Errorf("got %v", err)
	}
}

// An address that one can listen on is one that can be asked.
func TestNewClient_ThisMachine(t *testing.T) {
	for _, listen := range []string{":0", "0.0.0.0:0", "127.0.0.1:0"} {
		l, err := net.Listen("tcp", listen)
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: operate.Handler(operatetest.New(1, "public.a"))}
		go server.Serve(l)
		t.Cleanup(func() { server.Close() })
		_, port, _ := net.SplitHostPort(l.Addr().String())
		host, _, _ := net.SplitHostPort(listen)
		client, err := operate.NewClient(net.JoinHostPort(host, port))
		if err != nil {
			t.Fatal(err)
		}
		if all, err := client.Backfills(t.Context()); err != nil || len(all) != 1 {
			t.Errorf("%s: got %v, %v", listen, all, err)
		}
	}
	for _, addr := range []string{"", "9090", "localhost", "a:b:c", "host:"} {
		if _, err := operate.NewClient(addr); err == nil || !strings.Contains(err.Error(), "POLLER_ADMIN_ADDR") {
			t.Errorf("%q: got %v", addr, err)
		}
	}
}

func TestClient_Interrupted(t *testing.T) {
	client, _ := serve(t, operatetest.New(1, "public.a"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := client.Backfills(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
