package e2e_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const handWritten = `{"id": "by hand", "messages": [
	{"action": "insert", "record": {"id": 1, "name": "Cup", "price": 9.90}, "metadata": {"table_schema": "public", "table_name": "products", "primary_key": ["id"]}},
	{"action": "update", "record": {"id": 2, "name": "Jug", "price": 1e400}, "metadata": {"table_schema": "public", "table_name": "products", "primary_key": ["id"]}},
	{"action": "delete", "record": {"product_id": 42, "customer_id": 123}, "metadata": {"table_schema": "public", "table_name": "orders", "primary_key": ["product_id", "customer_id"]}}]}`

// post sends a body as curl --data-binary would.
func (r *rig) post(query string, body []byte) (status int, answer string) {
	r.Helper()
	response, err := http.Post(r.fnURL()+"/v1/batches"+query, "application/json", bytes.NewReader(body))
	if err != nil {
		r.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		r.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// keys lists what is in Redis but for freshet's own.
func (r *rig) keys() []string {
	r.Helper()
	keys, err := r.redis.Keys(r.Context(), "*").Result()
	if err != nil {
		r.Fatal(err)
	}
	keys = slices.DeleteFunc(keys, func(key string) bool { return strings.HasPrefix(key, "freshet:") })
	slices.Sort(keys)
	return keys
}

func TestDryRunTouchesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, "", "")
	r.launchFn()
	r.put("sequin:orders:42-123", `{"before":true}`)
	status, answer := r.post("?dry_run=1", []byte(handWritten))
	if status != http.StatusOK {
		t.Fatalf("%d %s", status, answer)
	}
	var receipt struct {
		Commands []struct{ Command, Key, Value string }
	}
	if err := json.Unmarshal([]byte(answer), &receipt); err != nil {
		t.Fatal(err)
	}
	want := `[{SET sequin:products:1 {"id": 1, "name": "Cup", "price": 9.90}} {SET sequin:products:2 {"id": 2, "name": "Jug", "price": 1e400}} {DEL sequin:orders:42-123 }]`
	slices.SortFunc(receipt.Commands, func(a, b struct{ Command, Key, Value string }) int {
		return cmp.Or(-cmp.Compare(a.Command, b.Command), cmp.Compare(a.Key, b.Key))
	})
	if got := fmt.Sprint(receipt.Commands); got != want {
		t.Errorf("commands\n got %s\nwant %s", got, want)
	}
	if got := fmt.Sprint(r.keys()); got != "[sequin:orders:42-123]" {
		t.Errorf("Redis was touched: %s", got)
	}
}

func TestHandWrittenBatchIsApplied(t *testing.T) {
	t.Parallel()
	r := newRig(t, "", "")
	r.launchFn()
	r.put("sequin:orders:42-123", `{"before":true}`)
	if status, answer := r.post("", []byte(handWritten)); status != http.StatusOK || !strings.Contains(answer, `"written":2`) || !strings.Contains(answer, `"deleted":1`) {
		t.Errorf("%d %s", status, answer)
	}
	if got := fmt.Sprint(r.keys()); got != "[sequin:products:1 sequin:products:2]" {
		t.Errorf("keys: %s", got)
	}
	if got, _ := r.get("sequin:products:1"); got != `{"id": 1, "name": "Cup", "price": 9.90}` {
		t.Errorf("product 1 is %s", got)
	}
}

func TestSampleBatchesReplay(t *testing.T) {
	t.Parallel()
	files, _ := filepath.Glob("../batches/*.json")
	if len(files) == 0 {
		t.Fatal("local/batches has no batches")
	}
	r := newRig(t, "", "")
	r.launchFn()
	for _, file := range files {
		r.curl(file, "")
	}
	if len(r.keys()) == 0 {
		t.Error("no sample batch wrote a key")
	}
}

// curl posts a file with the line that the README shows.
func (r *rig) curl(file, query string) {
	r.Helper()
	program, err := exec.LookPath("curl")
	if err != nil { // not everyone has it; the bytes are the same
		body, err := os.ReadFile(file)
		if err != nil {
			r.Fatal(err)
		}
		if status, answer := r.post(query, body); status != http.StatusOK {
			r.Errorf("%s: %d %s", file, status, answer)
		}
		return
	}
	out, err := exec.Command(program, "--silent", "--show-error", "--fail-with-body", "--header", "Content-Type: application/json",
		"--data-binary", "@"+file, r.fnURL()+"/v1/batches"+query).CombinedOutput()
	if err != nil {
		r.Errorf("curl %s: %v: %s", file, err, out)
	}
}

// What was recorded, posted into an empty Redis, makes the same keys again.
func TestRecordedBatchesReplay(t *testing.T) {
	t.Parallel()
	r, copied := newShop(t), newRig(t, "", "")
	dir := t.TempDir()
	r.pollExtra["POLLER_RECORD_DIR"], r.pollExtra["POLLER_RECORD_KEEP"] = dir, "10000" // all of them, however small
	r.stock(300, 50)
	r.start()
	r.exec("UPDATE products SET inventory_count = 3 WHERE id % 3 = 0")
	r.exec("DELETE FROM products WHERE id % 5 = 0")
	r.wantEqual(patience, "products", "orders")
	r.stop(r.poller)

	copied.launchFn()
	for _, file := range recorded(t, dir) {
		copied.curl(file, "?fence=off")
	}
	judge := r.judge("products", "orders")
	judge.Redis = copied.redis
	v, err := judge.Compare(t.Context())
	if err != nil || !v.Equal() {
		t.Fatalf("the judge: %s, %v", v, err)
	}
}

// recorded lists the files of a folder, each lane's in the order in which they were sent.
func recorded(t *testing.T, dir string) []string {
	t.Helper()
	files, _ := filepath.Glob(dir + "/*.json")
	if len(files) == 0 {
		entries, _ := os.ReadDir(dir)
		t.Fatalf("no batch was recorded: %v", entries)
	}
	seq := make(map[string]uint64, len(files))
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var batch struct{ Fence struct{ Seq uint64 } }
		if err := json.Unmarshal(body, &batch); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		seq[file] = batch.Fence.Seq
	}
	slices.SortFunc(files, func(a, b string) int { return cmp.Compare(seq[a], seq[b]) })
	return files
}
