package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"freshet/local/e2e"
)

// between is a proxy between poller and function. It keeps every batch that passes, and can hold one request back for as long as a
// test wants: whoever sent it has given up by then.
type between struct {
	*httptest.Server
	r *rig

	mu      sync.Mutex
	batches [][]byte
	mark    string // the next batch with this in it is held back
	held    *heldRequest
}

// heldRequest is a batch that is on its way for very long.
type heldRequest struct {
	body   []byte
	letGo  chan struct{}
	answer chan string
}

// newBetween puts a proxy in front of the rig's function.
func newBetween(r *rig) *between {
	b := &between{r: r}
	b.Server = httptest.NewServer(b)
	r.pollExtra["POLLER_FUNCTION_URL"] = b.URL
	r.Cleanup(b.Close)
	r.Cleanup(func() { // before Close, which waits for it
		if b.held != nil {
			b.release()
		}
	})
	return b
}

func (b *between) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return
	}
	if held := b.note(request, body); held != nil {
		<-held.letGo
		held.answer <- pass(b.r.fnURL()+request.URL.RequestURI(), body)
		return
	}
	onward, err := http.NewRequestWithContext(request.Context(), request.Method, b.r.fnURL()+request.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	onward.Header = request.Header
	answer, err := http.DefaultClient.Do(onward)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer answer.Body.Close()
	w.Header().Set("Content-Type", answer.Header.Get("Content-Type"))
	w.WriteHeader(answer.StatusCode)
	_, _ = io.Copy(w, answer.Body) // the poller may be gone
}

// pass sends a body on when nothing of its sender's patience is left, and answers what came back.
func pass(url string, body []byte) string {
	answer, err := http.Post(url, "application/json", bytes.NewReader(body))
	if err != nil {
		return err.Error()
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// note keeps a batch, and answers where it is held when it is the one to hold.
func (b *between) note(request *http.Request, body []byte) *heldRequest {
	if request.URL.Path != "/v1/batches" {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.batches = append(b.batches, body)
	if b.mark == "" || !bytes.Contains(body, []byte(b.mark)) {
		return nil
	}
	b.mark = ""
	b.held = &heldRequest{body: body, letGo: make(chan struct{}), answer: make(chan string, 1)}
	return b.held
}

// hold holds back the next batch with mark in it, once.
func (b *between) hold(mark string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mark = mark
}

// wantHeld waits until a request is held back.
func (b *between) wantHeld() {
	b.r.Helper()
	eventually(b.r.T, patience, func() error {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.held == nil {
			return errNotYet
		}
		return nil
	})
}

// release lets the held request through and returns the function's answer.
func (b *between) release() string {
	b.mu.Lock()
	held := b.held
	b.held = nil
	b.mu.Unlock()
	close(held.letGo)
	return <-held.answer
}

// passed is every batch until now.
func (b *between) passed() [][]byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.batches)
}

// versioned is a table whose rows carry their version.
const versioned = `CREATE TABLE counters (id int PRIMARY KEY, version int NOT NULL DEFAULT 0);`

// watchCounters watches the first so many counters.
func (r *rig) watchCounters(n int) *watch {
	w := &e2e.Watcher{Redis: r.redis, Column: "version"}
	for id := 1; id <= n; id++ {
		w.Keys = append(w.Keys, fmt.Sprintf("sequin:counters:%d", id))
	}
	return r.watch(w)
}

// A request is held up somewhere until everything after it is done: its retry, other batches, even another session.
func TestLateRequestChangesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, "counters", versioned)
	r.pollExtra["POLLER_TIMEOUT"], r.pollExtra["POLLER_LANES"] = "1s", "1" // one lane: the two rows share their batch
	r.exec("INSERT INTO counters SELECT generate_series(1, 3)")
	proxy := newBetween(r)
	r.start()
	r.wantEqual(patience, "counters")
	watch := r.watchCounters(1)

	for round, c := range []struct {
		name  string
		then  func()
		wants string
	}{
		{"after its retry", func() {}, `"duplicate"`},
		{"after a new session", func() {
			r.kill(r.poller)
			r.launchPoller()
		}, `"fenced"`},
	} {
		version, riser := 1000*(round+1), 100+round
		proxy.hold(fmt.Sprintf(`"version":%d`, version))
		r.exec("BEGIN; " + fmt.Sprintf("UPDATE counters SET version = %d WHERE id = 1; INSERT INTO counters VALUES (%d, %d); COMMIT", version, riser, version))
		proxy.wantHeld()
		c.then()
		r.exec("UPDATE counters SET version = $1 WHERE id = 1", version+1)
		r.exec("DELETE FROM counters WHERE id = $1", riser)
		r.wantEqual(patience, "counters")
		if answer := proxy.release(); !strings.Contains(answer, c.wants) {
			t.Errorf("%s: the late request was answered %s, want %s in it", c.name, answer, c.wants)
		}
		if v := r.compare("counters"); !v.Equal() {
			t.Errorf("%s: the judge: %s", c.name, v)
		}
	}
	watch.wantForward(2)
}

// Every batch that ever passed comes again, the newest first, and one comes before its turn.
func TestBatchesSentAgainInAnyOrderChangeNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, "counters", versioned)
	r.exec("INSERT INTO counters SELECT generate_series(1, 50)")
	proxy := newBetween(r)
	r.start()
	r.wantEqual(patience, "counters")
	watch := r.watchCounters(20)
	for range 2 { // two sessions
		for range 5 {
			r.exec("UPDATE counters SET version = version + 1")
			r.exec("DELETE FROM counters WHERE id = (SELECT max(id) FROM counters)")
			r.wantEqual(patience, "counters")
		}
		r.kill(r.poller)
		r.launchPoller()
	}
	r.waitReady("http://" + r.adminAddr())
	r.exec("UPDATE counters SET version = version + 1")
	r.wantEqual(patience, "counters")

	batches := proxy.passed()
	for _, body := range slices.Backward(batches) {
		status, answer := r.post("", body)
		if again := status == http.StatusOK && strings.Contains(answer, `"written":0,"deleted":0`); !again && status != http.StatusConflict {
			t.Fatalf("a batch that came again was answered %d %s", status, answer)
		}
	}
	early := beforeItsTurn(t, batches[len(batches)-1])
	if status, answer := r.post("", early); status != http.StatusConflict || !strings.Contains(answer, `"lost"`) {
		t.Errorf("a batch before its turn was answered %d %s", status, answer)
	}
	if v := r.compare("counters"); !v.Equal() {
		t.Errorf("the judge: %s", v)
	}
	watch.wantForward(20)
	r.exec("UPDATE counters SET version = version + 1")
	r.wantEqual(patience, "counters") // the session does not mind
}

// beforeItsTurn is a batch of the same session far ahead, with a row that nobody wrote.
func beforeItsTurn(t *testing.T, body []byte) []byte {
	t.Helper()
	var batch map[string]any
	if err := json.Unmarshal(body, &batch); err != nil {
		t.Fatal(err)
	}
	fence := batch["fence"].(map[string]any)
	fence["seq"] = fence["seq"].(float64) + 1000
	batch["messages"] = []any{map[string]any{"action": "update", "record": map[string]any{"id": 1, "version": 0},
		"metadata": map[string]any{"table_schema": "public", "table_name": "counters", "primary_key": []string{"id"}}}}
	early, err := json.Marshal(batch)
	if err != nil {
		t.Fatal(err)
	}
	return early
}
