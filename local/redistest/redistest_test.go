package redistest_test

import (
	"testing"

	"freshet/local/redistest"
)

func TestNew_GivesEachTestItsOwn(t *testing.T) {
	a, b := redistest.New(t), redistest.New(t)
	if a.URL == b.URL {
		t.Fatalf("both got %s", a.URL)
	}
	a.Do("SET", "k", "v")
	if got, ok := a.Get("k"); got != "v" || !ok {
		t.Errorf("got %q, %v", got, ok)
	}
	if got, ok := b.Get("k"); ok {
		t.Errorf("another test's key is seen: %q", got)
	}
}

func TestNew_IsEmptyAfterAnotherTest(t *testing.T) {
	redistest.New(t) // keeps the shared server up
	var first string
	for range 2 {
		t.Run("inner", func(t *testing.T) {
			r := redistest.New(t)
			if first != "" && r.URL != first {
				t.Fatalf("got %s, want %s again", r.URL, first)
			}
			first = r.URL
			if got := r.Do("DBSIZE"); got != int64(0) {
				t.Errorf("got %v keys", got)
			}
			r.Do("SET", "k", "v")
		})
	}
}

func TestNew_TakesArguments(t *testing.T) {
	r := redistest.New(t, "--maxmemory", "3mb")
	got := r.Do("CONFIG", "GET", "maxmemory").(map[any]any)["maxmemory"]
	if got != "3145728" {
		t.Errorf("got %v", got)
	}
	r.Server().Kill()
	if err := r.Server().Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.Do("PING")
}
