package functions_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"freshet/functions"
	"freshet/functions/effect"
	"freshet/functions/rules"
	"freshet/shared/change"
	"freshet/shared/exchange"
	"freshet/shared/problem"
)

// recorder is a store that only notes what it is to do.
type recorder struct {
	functions.Store
	done []string
}

func (r *recorder) Apply(_ context.Context, b *effect.Batch) (bool, error) {
	text, err := json.Marshal(struct {
		Fence   *change.Fence
		Clears  []string
		Writes  []effect.Write
		Letters []effect.Letter
		Sink    string
	}{b.Fence, b.Clears, b.Writes, b.Letters, b.Sink})
	r.done = append(r.done, string(text))
	return false, err
}

func (r *recorder) Check(context.Context, string) problem.List { return nil }

// A batch that arrives is rendered while it is read. What becomes of it is what becomes of one that was read before.
func TestServer_DoesAsApply(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := settings("redis://localhost")
		c.OnPoison, c.MaxValue, c.MaxBody = rapid.SampledFrom([]string{"park", "park", "park", "hold"}).Draw(t, "poison"), 2000, 1<<24
		c.Rules.Filter = `[{"path":"record.x","op":"!=","value":1}]`
		odd := rapid.IntRange(0, 3).Draw(t, "odd") == 0 // else it can be read in pieces
		begun := false
		message := rapid.Custom(func(t *rapid.T) string {
			const last = `"metadata":{"table_name":%q,"primary_key":["id"]}}`
			id, table := rapid.IntRange(1, 30).Draw(t, "id"), rapid.SampledFrom([]string{"a", "a", "a", "b"}).Draw(t, "table")
			metadata := fmt.Sprintf(last, table)
			kind := rapid.IntRange(0, 300).Draw(t, "kind")
			switch {
			case kind == 0:
				return `{"action":"truncate","record":null,` + metadata
			case kind == 1:
				return `{"action":"insert","record":{"none":1},` + metadata // has no key
			case kind == 2:
				return fmt.Sprintf(`{"action":"insert","record":{"id":%d,"x":%q},`, id, strings.Repeat("long", 1000)) + metadata
			case kind == 3 && odd:
				return `{"action":"odd"}`
			case kind == 4 && odd:
				return `7`
			case kind < 40:
				return fmt.Sprintf(`{"action":"delete","record":{"id":%d},`, id) + metadata
			case kind < 200 && (begun || odd):
				return fmt.Sprintf(`{"record":{"id":%d,"x":%d},"ordinal":"%08X"}`, id, kind%3, kind)
			}
			begun = true
			return fmt.Sprintf(`{"action":"update","record":{"id":%d,"x":%d},"changes":{"x":7},`, id, kind%3) + metadata
		})
		n := rapid.SampledFrom([]int{0, 1, 63, 64, 65, 128, 129, 200}).Draw(t, "n") // a piece has 64
		messages := rapid.SliceOfN(message, n, n).Draw(t, "messages")
		body := `{"fence":{"sink":"main","session":"s","lane":1,"seq":` + rapid.SampledFrom([]string{"1", "1", "1", "1", "1", "0"}).Draw(t, "seq") + `},"messages":[` + strings.Join(messages, ",") + rapid.SampledFrom([]string{"]}", "]}", "]}", "]}", "]}", "]}", "]", "],}"}).Draw(t, "end")
		compiled, err := rules.Compile(c.Rules)
		if err != nil {
			t.Fatal(err)
		}

		arrives := &recorder{}
		server := functions.NewServer(functions.NewHandler(compiled, arrives), c, slog.New(slog.DiscardHandler))
		w := httptest.NewRecorder()
		server.ServeHTTP(w, httptest.NewRequest(http.MethodPost, exchange.RouteBatches, strings.NewReader(body)))

		wasRead := &recorder{}
		h := functions.NewHandler(compiled, wasRead)
		h.Poison = c.Poison
		var b change.Batch
		broken, err := change.ParseBatchApart(&b, []byte(body))
		var want exchange.Receipt
		if err == nil {
			want, err = h.Apply(context.Background(), b, functions.Manner{}, broken...)
		}
		if diff := cmp.Diff(wasRead.done, arrives.done); diff != "" {
			t.Errorf("%s\n(-as a whole +as it arrives)\n%s", body, diff)
		}
		if err != nil {
			var said problem.Details
			if json.Unmarshal(w.Body.Bytes(), &said) != nil || w.Code == http.StatusOK {
				t.Errorf("%s: got %d %s, want what says %v", body, w.Code, w.Body, err)
			}
			return
		}
		var got exchange.Receipt
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != http.StatusOK {
			t.Fatalf("%s: got %d %s", body, w.Code, w.Body)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s\n(-as a whole +as it arrives)\n%s", body, diff)
		}
	})
}
