package batches_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"freshet/functions"
	"freshet/functions/redisstore"
	"freshet/functions/rules"
	"freshet/local/redistest"
	"freshet/shared/config"
	"freshet/shared/exchange"
)

// The story that the files tell, one after the other. A file without a chapter fails the test.
var story = map[string]struct {
	want exchange.Receipt
	keys map[string]string // all there are afterwards
}{
	"1-insert.json": {exchange.Receipt{Written: 3}, map[string]string{
		"sequin:products:42":   `{"id": 42, "sku": "MUG-0042", "name": "Blue mug", "price": 9.90, "inventory_count": 7, "attributes": {"grams": 310, "colour": "blue"}}`,
		"sequin:orders:1001-1": `{"order_id": 1001, "line_no": 1, "product_id": 42, "quantity": 2, "unit_price": 9.90}`,
		"sequin:orders:1001-2": `{"order_id": 1001, "line_no": 2, "product_id": 7, "quantity": 1, "unit_price": 120.00}`,
	}},
	"2-update.json": {exchange.Receipt{Written: 1, Duplicate: 1}, map[string]string{
		"sequin:products:42":   `{"id": 42, "sku": "MUG-0042", "name": "Blue mug", "price": 8.50, "inventory_count": 5, "attributes": {"grams": 310, "colour": "blue"}}`,
		"sequin:orders:1001-1": `{"order_id": 1001, "line_no": 1, "product_id": 42, "quantity": 2, "unit_price": 9.90}`,
		"sequin:orders:1001-2": `{"order_id": 1001, "line_no": 2, "product_id": 7, "quantity": 1, "unit_price": 120.00}`,
	}},
	"3-delete.json": {exchange.Receipt{Deleted: 1}, map[string]string{
		"sequin:products:42":   `{"id": 42, "sku": "MUG-0042", "name": "Blue mug", "price": 8.50, "inventory_count": 5, "attributes": {"grams": 310, "colour": "blue"}}`,
		"sequin:orders:1001-1": `{"order_id": 1001, "line_no": 1, "product_id": 42, "quantity": 2, "unit_price": 9.90}`,
	}},
	"4-truncate.json": {exchange.Receipt{Deleted: 1}, map[string]string{
		"sequin:products:42": `{"id": 42, "sku": "MUG-0042", "name": "Blue mug", "price": 8.50, "inventory_count": 5, "attributes": {"grams": 310, "colour": "blue"}}`,
	}},
}

func TestBatches_TellTheirStory(t *testing.T) {
	names, err := filepath.Glob("*.json")
	if err != nil {
		t.Fatal(err)
	}
	if len(names) != len(story) {
		t.Fatalf("files %v, story of %v", names, slices.Sorted(maps.Keys(story)))
	}
	r := redistest.New(t)
	function := start(t, r.URL)
	before := map[string]string{}
	for _, name := range names {
		chapter, told := story[name]
		if !told {
			t.Fatalf("%s is not in the story", name)
		}
		if got := post(t, function.URL+exchange.RouteBatches+"?dry_run=1", name); len(got.Commands) == 0 {
			t.Errorf("%s: the dry run shows nothing", name)
		}
		wantKeys(t, r, name+", dry", before)
		for _, pass := range []string{name, name + ", again"} { // a replay changes nothing more
			got := post(t, function.URL+exchange.RouteBatches, name)
			if got.Written != chapter.want.Written || got.Deleted != chapter.want.Deleted || got.Duplicate != chapter.want.Duplicate || got.Filtered+got.Dead != 0 {
				t.Errorf("%s: got %+v, want %+v", pass, got, chapter.want)
			}
			wantKeys(t, r, pass, chapter.keys)
		}
		before = chapter.keys
	}
}

func start(t *testing.T, redisURL string) *httptest.Server {
	t.Helper()
	t.Setenv("REDIS_URL", redisURL)
	var c functions.Config
	if err := config.Load("FN", &c); err != nil {
		t.Fatal(err)
	}
	compiled, err := rules.Compile(c.Rules)
	if err != nil {
		t.Fatal(err)
	}
	store, err := redisstore.New(c.Redis)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	s := httptest.NewServer(functions.NewServer(functions.NewHandler(compiled, store), c, slog.New(slog.DiscardHandler)))
	t.Cleanup(s.Close)
	return s
}

// post is curl --data-binary @name.
func post(t *testing.T, url, name string) (r exchange.Receipt) {
	t.Helper()
	body, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.Post(url, "application/x-www-form-urlencoded", strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %s", name, answer.Status, text)
	}
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func wantKeys(t *testing.T, r *redistest.Redis, when string, want map[string]string) {
	t.Helper()
	got := map[string]string{}
	for _, key := range r.Do("KEYS", "sequin:*").([]any) {
		got[key.(string)], _ = r.Get(key.(string))
	}
	if !maps.Equal(got, want) {
		t.Errorf("%s:\n got %v\nwant %v", when, got, want)
	}
}
