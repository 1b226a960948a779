package functions_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"freshet/functions"
	"freshet/functions/effect"
	"freshet/functions/redisstore"
	"freshet/functions/rules"
	"freshet/local/redistest"
	"freshet/shared/change"
	"freshet/shared/exchange"
	"freshet/shared/problem"
)

// rows is how many messages the batches of the benchmarks have.
const rows = 1000

// body is a batch of rows as a poller sends it.
func body() []byte {
	b := bytes.NewBufferString(`{"messages":[`)
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

func benchmark(b *testing.B, store functions.Store, edit func(*functions.Config)) (*functions.Handler, functions.Config) {
	c := settings("redis://localhost")
	edit(&c)
	compiled, err := rules.Compile(c.Rules)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	return functions.NewHandler(compiled, store), c
}

func perRow(b *testing.B) {
	b.ReportMetric(float64(b.N)*rows/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkHandler_Apply(b *testing.B) {
	for _, value := range []string{
		"record", "record.name", `record.{name,price,"stock":inventory_count}`,
		`{"name":"record.name","price":"record.price","stock":"record.inventory_count"}`, `{"name":"record.name","price":"record.price","stock.count":"record.inventory_count.@this"}`,
	} {
		b.Run(value, func(b *testing.B) {
			h, _ := benchmark(b, nowhere{}, func(c *functions.Config) { c.Value = value })
			batch, err := change.ParseBatch(body())
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if _, err := h.Apply(context.Background(), batch, functions.Manner{}); err != nil {
					b.Fatal(err)
				}
			}
			perRow(b)
		})
	}
}

// Rules that do all they can, beside the default one.
func BenchmarkHandler_Rules(b *testing.B) {
	for name, edit := range map[string]func(*functions.Config){
		"key":    func(c *functions.Config) { c.Key = "p:{record.inventory_count}" },
		"filter": func(c *functions.Config) { c.Filter = `[{"path":"record.price","op":">=","value":9.9}]` },
		"expiry": func(c *functions.Config) { c.ExpireMS, c.ExpireJitter = "3600000", "10" },
		"two": func(c *functions.Config) {
			c.Rules.Rules = `[{"table":"*","key":"a:{primary_key}"},{"table":"*","key":"b:{record.inventory_count}"}]`
		},
	} {
		b.Run(name, func(b *testing.B) {
			h, _ := benchmark(b, nowhere{}, edit)
			batch, err := change.ParseBatch(body())
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if _, err := h.Apply(context.Background(), batch, functions.Manner{}); err != nil {
					b.Fatal(err)
				}
			}
			perRow(b)
		})
	}
}

func BenchmarkServer_Batch(b *testing.B) {
	h, c := benchmark(b, nowhere{}, func(*functions.Config) {})
	server := functions.NewServer(h, c, slog.New(slog.DiscardHandler))
	text := body()
	for b.Loop() {
		w := httptest.NewRecorder()
		server.ServeHTTP(w, httptest.NewRequest(http.MethodPost, exchange.RouteBatches, bytes.NewReader(text)))
		if w.Code != http.StatusOK {
			text, _ := io.ReadAll(w.Body)
			b.Fatalf("%d %s", w.Code, text)
		}
	}
	perRow(b)
}

func BenchmarkStore_Apply(b *testing.B) {
	h, batch := opened(b)
	for b.Loop() {
		batch.Fence.Seq++
		if _, err := h.Apply(context.Background(), batch, functions.Manner{}); err != nil {
			b.Fatal(err)
		}
	}
	perRow(b)
}

// Comparing must not take longer than writing.
func BenchmarkStore_Verify(b *testing.B) {
	for _, there := range []bool{true, false} {
		b.Run(map[bool]string{true: "match", false: "missing"}[there], func(b *testing.B) {
			h, batch := opened(b)
			if there {
				batch.Fence.Seq++
				if _, err := h.Apply(context.Background(), batch, functions.Manner{}); err != nil {
					b.Fatal(err)
				}
			}
			for b.Loop() {
				c, err := h.Verify(context.Background(), batch, functions.Manner{})
				if err != nil || (c.Match == rows) != there {
					b.Fatalf("%+v %v", c, err)
				}
			}
			perRow(b)
		})
	}
}

// opened is a session over a Redis, and a batch of its lane 0.
func opened(b *testing.B) (*functions.Handler, change.Batch) {
	r := redistest.New(b)
	store, err := redisstore.New(settings(r.URL).Redis)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { store.Close() })
	h, _ := benchmark(b, store, func(*functions.Config) {})
	ask := exchange.OpenRequest{Session: "s", Lanes: 1, Source: change.Source{System: "1", Database: "d"}}
	if _, err := h.Open(context.Background(), ask); err != nil {
		b.Fatal(err)
	}
	batch, err := change.ParseBatch(body())
	if err != nil {
		b.Fatal(err)
	}
	batch.Fence = &change.Fence{Session: "s"}
	return h, batch
}
