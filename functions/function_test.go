package functions_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"freshet/functions"
	"freshet/local/redistest"
	"freshet/shared/change"
	"freshet/shared/exchange"
)

// complete are settings with which New has nothing to find fault.
func complete(url string) functions.Config {
	c := settings(url)
	c.Poison = functions.Poison{OnPoison: "park", MaxValue: 1 << 20}
	c.DeadLettersMax, c.DeadLettersAge = 10, time.Hour
	return c
}

// transformed starts a function with code for its values.
func transformed(t *testing.T, transform functions.Transform, edit ...func(*functions.Config)) *fn {
	t.Helper()
	r := redistest.New(t)
	c := complete(r.URL)
	for _, f := range edit {
		f(&c)
	}
	f, err := functions.New(c, functions.WithTransform(transform), functions.WithVersion("1"))
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(f)
	t.Cleanup(func() { s.Close(); f.Close() })
	return &fn{T: t, redis: r, server: s}
}

// The code makes values; keys, filters, expiries and deletes are as they are set, and it is asked once a row, never for a delete.
func TestNew_Transform(t *testing.T) {
	var mu sync.Mutex
	asked := map[change.Action]int{}
	f := transformed(t, func(_ context.Context, m change.Message) (string, bool, error) {
		mu.Lock()
		defer mu.Unlock()
		asked[m.Action]++
		name := gjson.Get(m.Record, "name").Str
		return strings.ToUpper(name), name != "secret", nil
	}, func(c *functions.Config) {
		c.Rules.Rules = `[{"table":"products","key":"p:{primary_key}","expire_ms":60000},{"table":"products","key":"n:{record.name}"}]`
		c.Filter = `[{"path":"record.id","op":"<","value":100}]`
	})
	f.redis.Do("SET", "p:2", "old")
	f.redis.Do("SET", "p:100", "old")
	f.settled("/", batch(message("insert", `{"id":1,"name":"mug"}`), message("update", `{"id":2,"name":"secret"}`), message("read", `{"id":100,"name":"x"}`), message("delete", `{"id":3,"name":"y"}`)),
		exchange.Receipt{Written: 2, Deleted: 6})
	for key, want := range map[string]string{"p:1": "MUG", "n:mug": "MUG"} {
		if got, _ := f.redis.Get(key); got != want {
			t.Errorf("%s: got %q, want %q", key, got, want)
		}
	}
	if left := f.redis.Do("DBSIZE"); left != int64(2) {
		t.Errorf("%v keys, want 2", left)
	}
	if ms := f.redis.Do("PTTL", "p:1").(int64); ms < 1 || ms > 60_000 {
		t.Errorf("p:1 lives for %d ms", ms)
	}
	if asked[change.Insert] != 1 || asked[change.Update] != 1 || len(asked) != 2 {
		t.Errorf("asked for %v", asked)
	}
	_, text := f.call("POST", "/?dry_run=1", batch(message("update", `{"id":2,"name":"secret"}`)))
	if !strings.Contains(text, "the transform does not keep the row") {
		t.Error(text)
	}
}

// An error of the code holds the batch: nothing of it is written, and it comes again.
func TestNew_TransformFails(t *testing.T) {
	f := transformed(t, func(_ context.Context, m change.Message) (string, bool, error) {
		if strings.Contains(m.Record, "2") {
			return "", false, errors.New("the price list is not there")
		}
		return "x", true, nil
	})
	body := batch(message("insert", `{"id":1}`), message("insert", `{"id":2}`))
	for _, path := range []string{"/", "/?dry_run=1"} {
		f.refused("POST", path, body, 500, "", "the price list is not there")
	}
	if left := f.redis.Do("DBSIZE"); left != int64(0) {
		t.Errorf("%v keys were written", left)
	}
}

// The version of the code is part of the rules, so that another one has the tables filled again.
func TestNew_Version(t *testing.T) {
	r := redistest.New(t)
	open := func(choices ...functions.Option) exchange.Plan {
		f, err := functions.New(complete(r.URL), choices...)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		s := &fn{T: t, redis: r, server: httptest.NewServer(f)}
		defer s.server.Close()
		_, text := s.call("POST", "/v1/sessions", opening)
		var got exchange.OpenResponse
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			t.Fatal(text)
		}
		return got.Plan
	}
	transform := functions.WithTransform(func(context.Context, change.Message) (string, bool, error) { return "", true, nil })
	seen := map[string]bool{open().Rules: true, open(transform).Rules: true, open(transform, functions.WithVersion("2")).Rules: true}
	if len(seen) != 3 {
		t.Errorf("got %v", seen)
	}
	if again := open(transform, functions.WithVersion("2")); !seen[again.Rules] {
		t.Error("the same version makes other rules")
	}
}

func TestNew_RefusesWrongSettings(t *testing.T) {
	c := complete("redis://localhost")
	c.Key, c.Timeout = "x", 0
	if _, err := functions.New(c); err == nil || !strings.Contains(err.Error(), "FN_KEY") || !strings.Contains(err.Error(), "FN_TIMEOUT") {
		t.Errorf("got %v", err)
	}
}
