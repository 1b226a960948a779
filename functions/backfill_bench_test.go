package functions_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"freshet/functions"
	"freshet/shared/change"
	"freshet/shared/exchange"
)

// page is a batch of a backfill as the poller sends it, with rows of the table of local/bench.
func page(rows int) []byte {
	at := time.Date(2026, 1, 2, 10, 17, 36, 0, time.UTC)
	fence := change.Fence{Sink: "freshet", Session: "9b1c", Lane: 3, Seq: 42, After: make([]uint64, 8), Seal: 0x16B3000}
	b := change.Batch{ID: "9b1c/3/42", Source: change.Source{System: "7421000000000000000", Timeline: 1, Database: "shop", Slot: "freshet"}, Fence: &fence}
	body, err := b.AppendHead(nil)
	if err != nil {
		panic(err)
	}
	frame := change.NewFrame(change.Table{Schema: "public", Name: "items"}, []string{"id"})
	var tx change.Transaction
	tx.Begin(771, 0x16B374D848, at)
	var like change.Like
	for i := range rows {
		if i > 0 {
			body = append(body, ',')
		}
		n := 123456 + 8*i // those of one lane
		form := like.Next(change.Read, frame, &tx)
		body = form.AppendOpen(body, change.Read)
		body = fmt.Appendf(body, `{"id":%d,"sku":"SKU-%010d","name":"Product number %d","price":%.2f,"stock":%d,"active":%v,"weight":%v,"created_at":%q,"note":`,
			n, n, n, float64(n%100000)/100, n%1000, n%7 != 0, float64(n)*0.25, at.Add(time.Duration(n)*time.Second).Format("2006-01-02T15:04:05+00:00"))
		if n%10 > 0 {
			body = fmt.Appendf(body, `"a note of medium length on product %d"}`, n)
		} else {
			body = append(body, "null}"...)
		}
		body = form.AppendClose(form.NoChanges(body), frame, &tx, uint32(i))
	}
	return change.AppendEnd(body)
}

// BenchmarkServer_Page is a whole request of a backfill, and of a quiet stream, without the store.
func BenchmarkServer_Page(b *testing.B) {
	for _, rows := range []int{2000, 1} {
		b.Run(fmt.Sprintf("rows=%d", rows), func(b *testing.B) {
			server := functions.NewServer(handler(b, nowhere{}), settings(""), slog.New(slog.DiscardHandler))
			text := page(rows)
			want := fmt.Sprintf(`{"written":%d,`, rows)
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				w := httptest.NewRecorder()
				server.ServeHTTP(w, httptest.NewRequest(http.MethodPost, exchange.RouteBatches, bytes.NewReader(text)))
				if !bytes.HasPrefix(w.Body.Bytes(), []byte(want)) {
					b.Fatalf("%d %s", w.Code, w.Body)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*rows), "ns/row")
		})
	}
}
