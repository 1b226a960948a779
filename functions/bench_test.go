package functions_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"freshet/functions"
	"freshet/functions/effect"
	"freshet/functions/redisstore"
	"freshet/functions/rules"
	"freshet/local/race"
	"freshet/local/redistest"
	"freshet/shared/change"
	"freshet/shared/exchange"
	"freshet/shared/problem"
)

// rows is how many messages the batches of the benchmarks have.
const rows = 1000

// body is a batch of rows as a poller sends it, with more members before the messages.
func body(more string) []byte {
	b := bytes.NewBufferString("{" + more + `"messages":[`)
	for i := range rows {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(b, `{"action":"update","record":{"id":%d,"name":"Mug \"%d\"","price":9.90,"inventory_count":%d,"description":"%0100d","updated_at":"2026-01-01T10:00:00.123456+00:00"},"changes":null,"metadata":{"table_schema":"public","table_name":"products","commit_timestamp":"2026-01-01T10:00:00.123456Z","position":"000000000016B374-%08X","primary_key":["id"],"transaction_id":771}}`,
			i, i, i, i, i)
	}
	b.WriteString("]}")
	return b.Bytes()
}

// nowhere is a store that takes everything and keeps nothing.
type nowhere struct{ functions.Store }

func (nowhere) Apply(context.Context, *effect.Batch) (bool, error) { return false, nil }
func (nowhere) Check(context.Context, string) problem.List         { return nil }

func perRow(b *testing.B) {
	b.ReportMetric(float64(b.N)*rows/b.Elapsed().Seconds(), "rows/s")
}

var posters = map[string]func(testing.TB) *poster{"nowhere": newPoster, "Redis": newFencedPoster}

// BenchmarkServer is a whole request, without the store and with it.
func BenchmarkServer(b *testing.B) {
	for name, with := range posters {
		b.Run(name, func(b *testing.B) {
			p := with(b)
			p.post(b)
			b.SetBytes(int64(len(p.text)))
			b.ReportAllocs()
			for b.Loop() {
				p.post(b)
			}
			perRow(b)
		})
	}
}

// What a request allocates does not grow with its messages.
func TestServer_AllocatesNothingForAMessage(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector has sync.Pool forget at random")
	}
	const most = rows / 5
	for name, with := range posters {
		p := with(t)
		p.post(t)
		if n := testing.AllocsPerRun(10, func() { p.post(t) }); n > most {
			t.Errorf("%s: %v allocations for a batch of %d messages, want at most %d", name, n, rows, most)
		}
	}
}

// poster posts the same batch again and again, as the next of its lane when it has a fence.
type poster struct {
	server http.Handler
	text   []byte
	seq    []byte // the part of text that numbers the batch
	posted int
}

// newPoster posts to a store that does nothing.
func newPoster(t testing.TB) *poster { return posterTo(t, nowhere{}) }

func posterTo(t testing.TB, store functions.Store) *poster {
	return &poster{server: functions.NewServer(handler(t, store), settings(""), slog.New(slog.DiscardHandler)), text: body("")}
}

// newFencedPoster posts to a Redis.
func newFencedPoster(t testing.TB) *poster {
	const blank = "          " // JSON allows it before a number
	p := posterTo(t, opened(t))
	p.text = body(`"fence":{"session":"s","lane":0,"seq":` + blank + `,"after":[0],"through":"000000000016B374-00000000","seal":"0/16B374"},`)
	at := bytes.Index(p.text, []byte(blank))
	p.seq = p.text[at : at+len(blank)]
	return p
}

func (p *poster) post(t testing.TB) {
	p.posted++
	for i, n := len(p.seq)-1, p.posted; i >= 0 && n > 0; i, n = i-1, n/10 {
		p.seq[i] = byte('0' + n%10)
	}
	w := httptest.NewRecorder()
	p.server.ServeHTTP(w, httptest.NewRequest(http.MethodPost, exchange.RouteBatches, bytes.NewReader(p.text)))
	if !strings.HasPrefix(w.Body.String(), `{"written":1000,`) {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
}

// Comparing must not take longer than writing.
func BenchmarkStore_Verify(b *testing.B) {
	for _, there := range []bool{true, false} {
		b.Run(map[bool]string{true: "match", false: "missing"}[there], func(b *testing.B) {
			h := handler(b, opened(b))
			batch, err := change.ParseBatch(body(""))
			if err != nil {
				b.Fatal(err)
			}
			batch.Fence = &change.Fence{Session: "s"}
			if there {
				batch.Fence.Seq++
				if _, err := h.Apply(b.Context(), batch, functions.Manner{}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				c, err := h.Verify(b.Context(), batch, functions.Manner{})
				if err != nil || (c.Match == rows) != there {
					b.Fatalf("%+v %v", c, err)
				}
			}
			perRow(b)
		})
	}
}

// opened is a session over a Redis, with one lane.
func opened(t testing.TB) functions.Store {
	store, err := redisstore.New(settings(redistest.New(t).URL).Redis)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	ask := exchange.OpenRequest{Session: "s", Lanes: 1, Source: change.Source{System: "1", Database: "d"}}
	if _, err := handler(t, store).Open(t.Context(), ask); err != nil {
		t.Fatal(err)
	}
	return store
}

// handler has the default rules.
func handler(t testing.TB, store functions.Store) *functions.Handler {
	compiled, err := rules.Compile(settings("redis://localhost").Rules)
	if err != nil {
		t.Fatal(err)
	}
	return functions.NewHandler(compiled, store)
}
