package functions_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"freshet/functions"
	"freshet/shared/exchange"
	"freshet/shared/problem"
)

// parking starts a function that parks, with a session open.
func parking(t *testing.T, edit ...func(*functions.Config)) *fn {
	f := start(t, append([]func(*functions.Config){func(c *functions.Config) { c.OnPoison, c.MaxValue = "park", 1<<20 }}, edit...)...)
	f.open()
	return f
}

func (f *fn) letters(query string) exchange.DeadLetters {
	f.Helper()
	status, text := f.call("GET", "/v1/dead-letters"+query, "")
	var got exchange.DeadLetters
	if err := json.Unmarshal([]byte(text), &got); err != nil || status != 200 {
		f.Fatal(status, text)
	}
	return got
}

// letter wants just one, and answers it with its message.
func (f *fn) letter() exchange.DeadLetter {
	f.Helper()
	all := f.letters("")
	if len(all.Letters) != 1 || all.Kept != 1 || all.Letters[0].Message != nil {
		f.Fatalf("got %+v, want one letter without its message", all)
	}
	return f.letters("?id=" + all.Letters[0].ID).Letters[0]
}

func (f *fn) settle(body string) exchange.DeadLettersResponse {
	f.Helper()
	status, text := f.call("POST", "/v1/dead-letters", body)
	var got exchange.DeadLettersResponse
	if err := json.Unmarshal([]byte(text), &got); err != nil || status != 200 {
		f.Fatal(status, text)
	}
	return got
}

// wantLeft wants a replay that leaves the one letter, for this reason.
func (f *fn) wantLeft(why string) {
	f.Helper()
	got := f.settle(`{"do":"replay","all":true}`)
	if got.Done != 0 || len(got.Left) != 1 || !strings.Contains(got.Left[0].Why, why) {
		f.Errorf("got %+v, want it left because %q", got, why)
	}
}

// Whatever the poison, the rest of its batch is written, and what is known of its keys is removed.
func TestServer_PoisonIsParked(t *testing.T) {
	const good = `{"action":"insert","record":{"id":1},"metadata":{"table_name":"products","primary_key":["id"]}}`
	long := strings.Repeat("k", 64<<10)
	for _, c := range []struct {
		name, poison, reason string
		keys                 string // removed, and known
	}{
		{"no key", message("insert", `{"id":null}`), `its column "id" is null`, ""},
		{"a key that is too long", message("insert", `{"id":"`+long+`","name":"x"}`), "a key is too long", ""},
		{"no value", message("update", `{"id":7}`), "the path record.name finds nothing", "sequin:products:7"},
		{"a value that is too large", message("update", `{"id":7,"name":"`+strings.Repeat("x", 101)+`"}`), "a value is too large: it has 101 bytes", "sequin:products:7"},
		{"no such action", `{"action":"upsert","record":{"id":7}}`, `action "upsert" is not one of`, ""},
		{"a row that could not be sent", `{"action":"delete","record":{"id":7},"metadata":{"table_name":"products","primary_key":["id"],"parked":"it has 20 MB"}}`, "it has 20 MB", "sequin:products:7"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := parking(t, func(c *functions.Config) { c.MaxValue, c.Value = 100, "record.name" })
			f.redis.Do("SET", "sequin:products:7", "old")
			first := strings.Replace(good, `"id":1`, `"id":1,"name":"x"`, 1)
			second := strings.Replace(good, `"id":1`, `"id":2,"name":"y"`, 1)
			body := fenced("s1", 1, first, c.poison, second)
			f.settled("/v1/batches", body, exchange.Receipt{Written: 2, Dead: 1})
			f.settled("/v1/batches", body, exchange.Receipt{Duplicate: 3})
			for key, want := range map[string]string{"sequin:products:1": "x", "sequin:products:2": "y"} {
				if got, _ := f.redis.Get(key); got != want {
					t.Errorf("%s: got %q, want %q", key, got, want)
				}
			}
			l := f.letter()
			if _, there := f.redis.Get("sequin:products:7"); there != (c.keys == "") || strings.Join(l.Keys, " ") != c.keys {
				t.Errorf("the old value is there: %v; keys %v", there, l.Keys)
			}
			if !strings.Contains(l.Reason, c.reason) || !json.Valid(l.Message) {
				t.Errorf("got %s and %d bytes", l.Reason, len(l.Message))
			}
		})
	}
}

func TestServer_PoisonHolds(t *testing.T) {
	f := parking(t, func(c *functions.Config) { c.OnPoison = "hold" })
	good := message("insert", `{"id":1}`)
	f.refused("POST", "/", fenced("s1", 1, good, message("insert", `{"id":null}`)), 422, "", `message 1: its column \"id\" is null`)
	f.refused("POST", "/", fenced("s1", 1, good, `{"action":"upsert"}`), 400, "", "upsert")
	f.refused("POST", "/", fenced("s1", 1, good, message("insert", `{"id":2,"x":"`+strings.Repeat("x", 1<<20-100)+`"}`)), 413, "", "FN_MAX_BODY")
	f.refused("POST", "/", fenced("s1", 1, `{"action":"delete","record":{"id":7},"metadata":{"table_name":"products","primary_key":["id"],"parked":"20 MB"}}`), 422, "", "20 MB")
	if _, there := f.redis.Get("sequin:products:1"); there || len(f.letters("").Letters) > 0 {
		t.Error("half a batch was written, or a letter kept")
	}
	f.settled("/", fenced("s1", 1, good), exchange.Receipt{Written: 1})
}

// Who posts a batch by hand reads the answer.
func TestServer_PoisonByHandIsRefused(t *testing.T) {
	f := parking(t)
	poison := message("insert", `{"id":null}`)
	f.refused("POST", "/", batch(poison), 422, "", "is null")
	f.refused("POST", "/?fence=off", fenced("s1", 1, poison), 422, "", "is null")
	f.refused("POST", "/", batch(`{"action":"upsert"}`), 400, "", "upsert")
	if n := len(f.letters("").Letters); n != 0 {
		t.Errorf("%d letters", n)
	}
}

func TestServer_PoisonInADryRun(t *testing.T) {
	f := parking(t, func(c *functions.Config) { c.MaxValue = 20 })
	f.redis.Do("SET", "sequin:products:2", "old")
	large := `{"id":2,"x":"too large to be written"}`
	f.settled("/?dry_run=1&against=1", batch(message("read", `{"id":1}`), message("read", large)), exchange.Receipt{Written: 1, Dead: 1, Commands: []exchange.Command{
		{Command: "SET", Key: "sequin:products:1", Value: `{"id":1}`},
		{Command: "DEL", Key: "sequin:products:2", Why: tooLarge(large, 20), Present: new("old")},
		{Command: "XADD", Key: "freshet:freshet:dead", Why: tooLarge(large, 20)},
	}, Previews: []exchange.Preview{
		{Message: 0, Rule: "default", Commands: []exchange.Command{{Command: "SET", Key: "sequin:products:1", Value: `{"id":1}`}}},
		{Message: 1, Rule: "default", Commands: []exchange.Command{{Command: "DEL", Key: "sequin:products:2", Present: new("old")}}, Poison: &problem.Details{
			Title: "a value is too large", Detail: "it has 38 bytes, more than the 20 of FN_MAX_VALUE",
			Fix: "store less of the row with FN_VALUE; or raise FN_MAX_VALUE, and proto-max-bulk-len of the Redis where that is lower",
		}},
	}})
	if n := len(f.letters("").Letters); n != 0 {
		t.Errorf("%d letters", n)
	}
}

func tooLarge(value string, most int) string {
	p := problem.Error{What: "a value is too large", Why: fmt.Sprintf("it has %d bytes, more than the %d of FN_MAX_VALUE", len(value), most),
		Fix: "store less of the row with FN_VALUE; or raise FN_MAX_VALUE, and proto-max-bulk-len of the Redis where that is lower"}
	return p.Error()
}

// The value that was too large fits once the limit is raised.
func TestServer_ReplayOfALetter(t *testing.T) {
	const record = `{"id":7,"digits":12345678901234567890.10}`
	f := parking(t, func(c *functions.Config) { c.MaxValue = 20 })
	f.settled("/", fenced("s1", 1, message("insert", `{"id":1}`), message("insert", record)), exchange.Receipt{Written: 1, Dead: 1})
	f.wantLeft("it still cannot be written: a value is too large")

	c := settings(f.redis.URL)
	c.OnPoison, c.MaxValue = "park", 1000
	f.server = serve(t, c)
	id := f.letter().ID
	if got := f.settle(fmt.Sprintf(`{"do":"replay","ids":[%q]}`, id)); got.Done != 1 || got.Left != nil {
		t.Errorf("got %+v", got)
	}
	if got, _ := f.redis.Get("sequin:products:7"); got != record {
		t.Errorf("got %s", got)
	}
	again := f.settle(fmt.Sprintf(`{"do":"replay","ids":[%q,"nonsense"]}`, id))
	if again.Done != 0 || len(again.Left) != 2 || again.Left[0].Why != "there is no such letter" {
		t.Errorf("again: got %+v", again)
	}
}

func TestServer_ReplayIsRefusedAfterSomethingNewer(t *testing.T) {
	large := message("update", `{"id":7,"x":"`+strings.Repeat("x", 50)+`"}`)
	for name, then := range map[string]string{
		"update":   message("update", `{"id":7}`),
		"delete":   message("delete", `{"id":7}`),
		"read":     message("read", `{"id":7}`),
		"truncate": `{"action":"truncate","record":null,"metadata":{"table_name":"products","primary_key":["id"]}}`,
	} {
		t.Run(name, func(t *testing.T) {
			f := parking(t, func(c *functions.Config) { c.MaxValue = 20 })
			f.settled("/", fenced("s1", 1, large), exchange.Receipt{Dead: 1})
			if status, text := f.call("POST", "/", fenced("s1", 2, then)); status != 200 {
				t.Fatal(text)
			}
			f.server = serve(t, settings(f.redis.URL)) // without a limit
			before, there := f.redis.Get("sequin:products:7")
			f.wantLeft("something newer has come")
			if after, still := f.redis.Get("sequin:products:7"); after != before || there != still {
				t.Errorf("the key went from %q to %q", before, after)
			}
			if got := f.settle(`{"do":"drop","all":true}`); got.Done != 1 || len(f.letters("").Letters) != 0 {
				t.Errorf("drop: got %+v", got)
			}
		})
	}
}

// What is larger than a letter may be is kept as its key.
func TestServer_AVeryLargeMessageIsKeptAsItsKey(t *testing.T) {
	f := parking(t, func(c *functions.Config) { c.MaxBody, c.MaxValue = 4<<20, 100 })
	f.settled("/", fenced("s1", 1, message("insert", `{"id":7,"x":"`+strings.Repeat("x", 2<<20)+`"}`)), exchange.Receipt{Dead: 1})
	l := f.letter()
	if !l.KeyOnly || l.Replayable || len(l.Message) > 1000 || !strings.Contains(string(l.Message), `"record":{"id":7}`) {
		t.Errorf("got %+v", l)
	}
	f.wantLeft("too large to be kept")
}

func TestServer_RequestsForLetters(t *testing.T) {
	f := parking(t)
	f.refused("GET", "/v1/dead-letters?sink=a%20b", "", 400, "", "name of a sink")
	f.refused("GET", "/v1/dead-letters?after=x", "", 400, "", "names no letter")
	f.refused("POST", "/v1/dead-letters", `{"sink":"*","do":"drop","all":true}`, 400, "", "name of a sink")
	f.refused("POST", "/v1/dead-letters", `{"do":"drop"}`, 400, "", "names no letters")
	f.refused("POST", "/v1/dead-letters", `{"do":"burn","all":true}`, 400, "", "replay or drop")
	f.refused("POST", "/v1/dead-letters", `x`, 400, "", "asks for nothing")
	for seq := 1; seq <= 40; seq++ {
		f.settled("/", fenced("s1", seq, message("insert", `{"id":null}`)), exchange.Receipt{Dead: 1})
	}
	first := f.letters("?count=25")
	rest := f.letters("?after=" + first.Letters[24].ID)
	if len(first.Letters) != 25 || len(rest.Letters) != 15 || rest.Kept != 40 {
		t.Errorf("got %d and %d of %d", len(first.Letters), len(rest.Letters), rest.Kept)
	}
	if _, text := f.call("GET", "/metrics", ""); !strings.Contains(text, "freshet_fn_dead_letters{sink=\"freshet\"} 40\n") || !strings.Contains(text, "freshet_fn_messages_total{fate=\"dead\"} 40\n") {
		t.Error("the metrics do not tell")
	}
	if got := f.settle(`{"do":"replay","all":true}`); got.Done != 0 || len(got.Left) != 40 {
		t.Errorf("got %d done, %d left", got.Done, len(got.Left))
	}
}

// All keys of a parked message go, whichever rule could not write it: those of the other rules, and the one that the row had before.
func TestServer_ParksAMessageOfSeveralRules(t *testing.T) {
	f := start(t, func(c *functions.Config) {
		c.OnPoison, c.MaxValue = "park", 1<<20
		c.Rules.Rules = `[{"table":"products","key":"id:{primary_key}"},{"table":"products","key":"sku:{record.sku}","value":"record.none"}]`
	})
	if status, text := f.call("POST", "/v1/sessions", strings.Replace(opening, `"primary_key":["id"]`, `"primary_key":["id"],"old_columns":["id","sku"]`, 1)); status != 200 {
		t.Fatal(status, text)
	}
	for _, key := range []string{"id:1", "sku:A", "sku:B"} {
		f.redis.Do("SET", key, "old")
	}
	update := strings.Replace(message("update", `{"id":1,"sku":"B"}`), `"metadata"`, `"changes":{"sku":"A"},"metadata"`, 1)
	f.settled("/v1/batches", fenced("s1", 1, update, message("insert", `{"id":2,"sku":"C","none":1}`)), exchange.Receipt{Written: 2, Dead: 1})
	for _, key := range []string{"id:1", "sku:A", "sku:B"} {
		if _, there := f.redis.Get(key); there {
			t.Errorf("%s is still there", key)
		}
	}
	if kept := f.letters("").Letters; len(kept) != 1 || len(kept[0].Keys) != 3 {
		t.Errorf("letters: %+v", kept)
	}
}
