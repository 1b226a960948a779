package functions_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"freshet/functions"
	"freshet/functions/redisstore"
	"freshet/functions/rules"
	"freshet/local/redistest"
	"freshet/shared/config"
	"freshet/shared/exchange"
	"freshet/shared/problem"
)

// fn is a function over HTTP with a Redis of its own.
type fn struct {
	*testing.T
	redis  *redistest.Redis
	server *httptest.Server
}

func settings(url string) functions.Config {
	return functions.Config{
		MaxBody: 1 << 20, Timeout: 10 * time.Second,
		Rules:   rules.Config{Key: "sequin:{table_name}:{primary_key}", Value: "record", Actions: []string{"insert", "update", "delete"}},
		Logging: functions.Logging{LogFormat: "text", LogLevel: slog.LevelError + 1},
		Redis:   redisstore.Config{RedisURL: config.Secret(url), RedisPort: 6379, RedisTimeout: 5 * time.Second},
	}
}

func start(t *testing.T, edit ...func(*functions.Config)) *fn {
	t.Helper()
	r := redistest.New(t)
	c := settings(r.URL)
	for _, f := range edit {
		f(&c)
	}
	return &fn{T: t, redis: r, server: serve(t, c)}
}

func serve(t testing.TB, c functions.Config) *httptest.Server {
	t.Helper()
	compiled, err := rules.Compile(c.Rules)
	if err != nil {
		t.Fatal(err)
	}
	store, err := redisstore.New(c.Redis)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(functions.NewServer(functions.NewHandler(compiled, store), c, slog.New(slog.DiscardHandler)))
	t.Cleanup(func() { s.Close(); store.Close() })
	return s
}

// call answers status and body, and wants a content type that fits the status.
func (f *fn) call(method, path, body string) (int, string) {
	f.Helper()
	request, err := http.NewRequest(method, f.server.URL+path, strings.NewReader(body))
	if err != nil {
		f.Fatal(err)
	}
	response, err := f.server.Client().Do(request)
	if err != nil {
		f.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		f.Fatal(err)
	}
	if got := response.Header.Get("Content-Type"); response.StatusCode >= 400 && got != problem.ContentType {
		f.Errorf("%s %s: content type %q", method, path, got)
	}
	return response.StatusCode, string(text)
}

// settled posts a batch and wants this receipt.
func (f *fn) settled(path, body string, want exchange.Receipt) {
	f.Helper()
	status, text := f.call("POST", path, body)
	var got exchange.Receipt
	if err := json.Unmarshal([]byte(text), &got); err != nil || status != 200 {
		f.Fatalf("%d %s", status, text)
	}
	if got.Rules == "" {
		f.Errorf("the receipt names no rules: %s", text)
	}
	got.Rules = ""
	if diff := cmp.Diff(want, got); diff != "" {
		f.Error(diff)
	}
}

// refused wants a problem with this status, reason and words.
func (f *fn) refused(method, path, body string, status int, reason, words string) {
	f.Helper()
	got, text := f.call(method, path, body)
	var d problem.Details
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		f.Fatalf("%d %s", got, text)
	}
	if got != status || d.Status != status || d.Reason != reason || d.Title == "" || !strings.Contains(text, words) {
		f.Errorf("%s %s: got %d %s, want %d, reason %q, words %q", method, path, got, text, status, reason, words)
	}
}

func message(action, record string) string {
	return fmt.Sprintf(`{"action":%q,"record":%s,"metadata":{"table_name":"products","primary_key":["id"]}}`, action, record)
}

func batch(messages ...string) string { return `{"messages":[` + strings.Join(messages, ",") + `]}` }

func fenced(session string, seq int, messages ...string) string {
	return fmt.Sprintf(`{"id":"%s/0/%d","source":{"system":"7421","timeline":1,"database":"shop","slot":"freshet"},"fence":{"session":%q,"lane":0,"seq":%d,"after":[0],"through":"0000000000000100-%08X","seal":"0/10"},"messages":[%s]}`,
		session, seq, session, seq, seq, strings.Join(messages, ","))
}

const opening = `{"session":"s1","source":{"system":"7421","timeline":1,"database":"shop","slot":"freshet"},"lanes":1,"confirmed":"0/10","backfill":true,"repair":["emptied"],"tables":[{"table_schema":"public","table_name":"products","primary_key":["id"]}]}`

func (f *fn) open() {
	f.Helper()
	if status, text := f.call("POST", "/v1/sessions", opening); status != 200 {
		f.Fatal(status, text)
	}
}

func TestServer_RowsBecomeStrings(t *testing.T) {
	f := start(t)
	f.redis.Do("SET", "sequin:products:7", "old")
	const mug = `{"id": 42, "name":"Mug \"\u2615\" ☕\ud83e\udd42","price":9.90 ,"digits":1234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890.10}`
	for _, path := range []string{"/", "/v1/batches"} {
		f.settled(path, batch(message("insert", mug), message("delete", `{"id":7}`), message("read", `{"id":-1}`)), exchange.Receipt{Written: 2, Deleted: 1})
		if got, _ := f.redis.Get("sequin:products:42"); got != mug {
			t.Errorf("got %s", got)
		}
		if _, there := f.redis.Get("sequin:products:7"); there {
			t.Error("the deleted row is still there")
		}
	}
	f.settled("/", batch(message("update", `{"id":1,"n":1}`), message("update", `{"id":1,"n":2}`), message("delete", `{"id":42}`), message("insert", `{"id":42,"n":1}`)),
		exchange.Receipt{Written: 2, Duplicate: 2})
	if got, _ := f.redis.Get("sequin:products:1"); got != `{"id":1,"n":2}` {
		t.Errorf("got %s", got)
	}
	f.settled("/", batch(`{"action":"truncate","record":null,"metadata":{"table_name":"products","primary_key":["id"]}}`), exchange.Receipt{Deleted: 1})
	if left := f.redis.Do("DBSIZE"); left != int64(0) {
		t.Errorf("%v keys left", left)
	}
}

func TestServer_Fence(t *testing.T) {
	f := start(t)
	one := fenced("s1", 1, message("insert", `{"id":1}`))
	f.refused("POST", "/v1/batches", one, 409, "lost", "freshet:freshet:state")
	f.open()
	f.settled("/v1/batches", one, exchange.Receipt{Written: 1})
	f.settled("/v1/batches", one, exchange.Receipt{Duplicate: 1})
	f.refused("POST", "/v1/batches", fenced("s0", 1, message("insert", `{"id":1}`)), 409, "fenced", "another session")
	f.refused("POST", "/v1/batches", fenced("s1", 3), 409, "lost", "batch 3 of lane 0")
	f.settled("/v1/batches", fenced("s1", 2), exchange.Receipt{}) // a heartbeat
	// An operator's word is final.
	f.settled("/v1/batches?fence=off", fenced("s0", 9, message("delete", `{"id":1}`)), exchange.Receipt{Deleted: 1})
	if _, there := f.redis.Get("sequin:products:1"); there {
		t.Error("fence=off did not apply")
	}
	f.redis.Client().FlushDB(context.Background())
	f.refused("POST", "/v1/batches", fenced("s1", 3), 409, "lost", "is not there")
}

func TestServer_DryRunTouchesNothing(t *testing.T) {
	f := start(t, func(c *functions.Config) { c.ExpireMS = "5000" })
	want := exchange.Receipt{Written: 1, Deleted: 2, Duplicate: 1, Commands: []exchange.Command{
		{Command: "DEL PREFIX", Key: "sequin:products:"},
		{Command: "SET", Key: "sequin:products:1", Value: `{"id":1}`, ExpireMS: 5000},
		{Command: "DEL", Key: "sequin:products:2"},
	}}
	set := func(id int) []exchange.Command {
		return []exchange.Command{{Command: "SET", Key: fmt.Sprintf("sequin:products:%d", id), Value: fmt.Sprintf(`{"id":%d}`, id), ExpireMS: 5000}}
	}
	want.Previews = []exchange.Preview{
		{Message: 0, Rule: "default", Commands: set(3)}, {Message: 1, Rule: "default", Commands: want.Commands[:1]},
		{Message: 2, Rule: "default", Commands: set(1)}, {Message: 3, Rule: "default", Commands: want.Commands[2:]},
	}
	messages := []string{message("insert", `{"id":3}`), message("truncate", "null"), message("insert", `{"id":1}`), message("delete", `{"id":2}`)}
	f.settled("/v1/batches?dry_run=1", batch(messages...), want)
	f.settled("/v1/batches?dry_run=1", fenced("nobody", 5, messages...), want)
	if left := f.redis.Do("DBSIZE"); left != int64(0) {
		t.Errorf("it wrote %v keys", left)
	}
}

// A dry run says of every message and rule what comes of it, and beside it what is there now.
func TestServer_Preview(t *testing.T) {
	f := start(t, func(c *functions.Config) {
		c.OnPoison = "park"
		c.Rules.Rules = `[{"table":"products","key":"p:{primary_key}","filter":[{"path":"record.price","op":">","value":5}],"actions":["insert","update"]},
			{"table":"products","key":"sku:{record.sku}","write":"xx","value":{"price":"record.price"}}]`
	})
	f.redis.Do("SET", "p:1", "old")
	f.redis.Do("HSET", "sku:A", "no", "string")
	status, text := f.call("POST", "/v1/batches?dry_run=1&against=1", batch(
		message("insert", `{"id":1,"price":9.90,"sku":"A"}`), message("read", `{"id":2,"price":5,"sku":null}`), message("delete", `{"id":1,"sku":"B"}`)))
	var got exchange.Receipt
	if err := json.Unmarshal([]byte(text), &got); err != nil || status != 200 {
		t.Fatal(status, text)
	}
	if got.Rules == "" {
		t.Error("the answer names no rules")
	}
	got.Rules = ""
	old := "old"
	poison := &problem.Details{Title: "a row of public.products has no key", Detail: `its column "sku" is null`, Fix: "every part of a key needs a value: correct the row, or use other columns in FN_KEY"}
	const why = `a row of public.products has no key: its column "sku" is null (fix: every part of a key needs a value: correct the row, or use other columns in FN_KEY)`
	want := exchange.Receipt{Written: 2, Deleted: 1, Dead: 1,
		Commands: []exchange.Command{
			{Command: "SET", Key: "p:1", Value: `{"id":1,"price":9.90,"sku":"A"}`, Present: &old}, {Command: "SET XX", Key: "sku:A", Value: `{"price":9.90}`},
			{Command: "DEL", Key: "p:2", Why: why}, {Command: "DEL", Key: "sku:B"}, {Command: "XADD", Key: "freshet:freshet:dead", Why: why},
		},
		Previews: []exchange.Preview{
			{Message: 0, Rule: "rules[0]", Commands: []exchange.Command{{Command: "SET", Key: "p:1", Value: `{"id":1,"price":9.90,"sku":"A"}`, Present: &old}}},
			{Message: 0, Rule: "rules[1]", Commands: []exchange.Command{{Command: "SET XX", Key: "sku:A", Value: `{"price":9.90}`}}},
			{Message: 1, Rule: "rules[0]", Commands: []exchange.Command{{Command: "DEL", Key: "p:2"}}, Reason: "the row does not meet record.price > 5"},
			{Message: 1, Rule: "rules[1]", Poison: poison},
			{Message: 2, Rule: "rules[0]", Reason: "the action delete is not wanted"},
			{Message: 2, Rule: "rules[1]", Commands: []exchange.Command{{Command: "DEL", Key: "sku:B"}}},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got, _ := f.redis.Get("p:1"); got != "old" {
		t.Errorf("it wrote %s", got)
	}
}

// What is asked of tables before any session is what opening one would refuse or warn of.
func TestServer_ChecksTables(t *testing.T) {
	f := start(t, func(c *functions.Config) { c.Value = `{"n":"record.nmae"}`; c.Key = "k:{record.sku}" })
	status, text := f.call("POST", "/v1/check", `{"sink":"shop","tables":[{"table_schema":"public","table_name":"t","primary_key":["id"],"columns":["id","sku","name"]}]}`)
	var got exchange.Check
	if err := json.Unmarshal([]byte(text), &got); err != nil || status != 200 {
		t.Fatal(status, text)
	}
	if len(got.Findings) != 2 || !strings.Contains(text, "REPLICA IDENTITY FULL") || got.Findings[0].Fix != "did you mean name?" || !got.Findings[0].Warning {
		t.Errorf("got %s", text)
	}
	f.refused("POST", "/v1/check", "[", 400, "", "checks no tables")
	f.refused("POST", "/v1/check", `{"sink":"*"}`, 400, "", "name of a sink")
}

func TestServer_Sessions(t *testing.T) {
	f := start(t)
	status, text := f.call("POST", "/v1/sessions", opening)
	var got exchange.OpenResponse
	if err := json.Unmarshal([]byte(text), &got); err != nil || status != 200 {
		t.Fatal(status, text)
	}
	if got.Found != exchange.FoundFresh || got.Plan.Tables["public.products"].KeyPrefix != "sequin:products:" || got.Backfills["public.products"].State != "pending" {
		t.Errorf("got %+v", got)
	}
	edit := func(old, new string) string { return strings.Replace(opening, old, new, 1) }
	f.refused("POST", "/v1/sessions", edit(`"7421"`, `"1"`), 409, "foreign", "POLLER_SINK")
	f.refused("POST", "/v1/sessions", edit(`"lanes":1`, `"lanes":0`), 400, "", "lanes")
	f.refused("POST", "/v1/sessions", edit(`"session":"s1"`, `"session":""`), 400, "", "session")
	f.refused("POST", "/v1/sessions", edit(`"session"`, `"sink":"a:b","session"`), 400, "", "name of a sink")
	f.refused("POST", "/v1/sessions", edit(`"0/10"`, `"x"`), 400, "", "is not an LSN")
	f.refused("POST", "/v1/sessions", edit(`"tables":[`, `"tables":[{"table_schema":"shop","table_name":"products","primary_key":["id"]},`), 422, "", "FN_KEY")
}

func TestServer_BadRequests(t *testing.T) {
	f := start(t)
	f.refused("POST", "/", "", 400, "", "not valid JSON")
	f.refused("POST", "/", "{", 400, "", "not valid JSON")
	f.refused("POST", "/", "[]", 400, "", "not a JSON object")
	f.refused("POST", "/", "{}", 400, "", "messages")
	f.refused("POST", "/", batch(`{"action":"upsert"}`), 400, "", "upsert")
	f.refused("POST", "/", strings.Replace(fenced("s1", 1), `"fence":{`, `"fence":{"sink":"*",`, 1), 400, "", "name of a sink")
	f.refused("POST", "/", fenced("", 1), 400, "", "session")
	f.refused("POST", "/", fenced("s1", 0), 400, "", "counted from 1")
	f.refused("POST", "/", strings.Replace(fenced("s1", 1), `"seq":1`, `"seq":-1`, 1), 400, "", "fence")
	f.refused("POST", "/", strings.Replace(fenced("s1", 1), `"seq":1`, `"seq":1,"backfills":{"public.t":{"state":"x"}}`, 1), 400, "", "pending, running")
	f.refused("GET", "/v1/batches", "", 405, "", "Method Not Allowed")
	f.refused("GET", "/nowhere", "", 404, "", "Not Found")
	f.refused("GET", "/v1/check?sink=a%20b", "", 400, "", "name of a sink")
}

func TestServer_PoisonHoldsTheLane(t *testing.T) {
	f := start(t, func(c *functions.Config) { c.Value = "record.name" })
	good := message("insert", `{"id":1,"name":"x"}`)
	f.refused("POST", "/", batch(good, message("insert", `{"id":null}`)), 422, "", `message 1: its column \"id\" is null`)
	f.refused("POST", "/", batch(good, good, message("insert", `{"id":1}`)), 422, "", "message 2: the path record.name finds nothing")
	if left := f.redis.Do("DBSIZE"); left != int64(0) {
		t.Errorf("half a batch was written: %v keys", left)
	}
}

func TestServer_BodyLimit(t *testing.T) {
	f := start(t, func(c *functions.Config) { c.MaxBody = 2000 })
	fits := batch(message("insert", `{"id":1,"x":"`+strings.Repeat("x", 1850)+`"}`))
	f.settled("/", fits, exchange.Receipt{Written: 1})
	large := batch(message("insert", `{"id":1,"x":"`+strings.Repeat("x", 2000)+`"}`))
	f.refused("POST", "/", large, 413, "", "FN_MAX_BODY")
	// Without a Content-Length the reading itself has to stop; the client would go on for ever.
	response, err := f.server.Client().Post(f.server.URL, "application/json", io.MultiReader(strings.NewReader(large), endless{}))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != 413 {
		t.Errorf("got %d", response.StatusCode)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return copy(p, bytes.Repeat([]byte(" "), len(p))), nil }

func TestServer_Health(t *testing.T) {
	f := start(t)
	for _, path := range []string{"/healthz", "/readyz"} {
		if status, text := f.call("GET", path, ""); status != 200 {
			t.Error(path, status, text)
		}
	}
	if status, text := f.call("GET", "/v1/check?sink=shop", ""); status != 200 || text != `{"findings":[]}` {
		t.Error(status, text)
	}
	down := &fn{T: t, server: serve(t, settings("redis://127.0.0.1:1"))}
	if status, _ := down.call("GET", "/healthz", ""); status != 200 {
		t.Error("alive does not depend on Redis: got", status)
	}
	down.refused("GET", "/readyz", "", 503, "", "cannot reach Redis at 127.0.0.1:1")
	down.refused("POST", "/", batch(message("insert", `{"id":1}`)), 503, "", "cannot reach Redis")
	down.refused("POST", "/v1/sessions", opening, 503, "", "cannot reach Redis")
	if status, text := down.call("GET", "/v1/check", ""); status != 200 || !strings.Contains(text, `"transient":true`) {
		t.Error(status, text)
	}
}

func TestServer_Metrics(t *testing.T) {
	f := start(t)
	f.settled("/", batch(message("insert", `{"id":1}`), message("insert", `{"id":1}`)), exchange.Receipt{Written: 1, Duplicate: 1})
	f.refused("POST", "/", "x", 400, "", "JSON")
	f.refused("POST", "/", fenced("s", 1), 409, "lost", "")
	_, text := f.call("GET", "/metrics", "")
	for _, want := range []string{
		`freshet_fn_batches_total{outcome="settled"} 1`, `freshet_fn_batches_total{outcome="held"} 1`, `freshet_fn_batches_total{outcome="lost"} 1`,
		`freshet_fn_messages_total{fate="written"} 1`, `freshet_fn_messages_total{fate="duplicate"} 1`, `freshet_fn_apply_seconds_count 2`,
		`freshet_fn_request_seconds_count{route="/"} 3`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("no line %s", want)
		}
	}
}
