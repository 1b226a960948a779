package sink_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"freshet/poller/ack"
	"freshet/poller/admin"
	"freshet/poller/lane"
	"freshet/poller/sink"
	"freshet/shared/change"
	"freshet/shared/exchange"
)

// wire takes requests as they would be written to a connection, and is content with all of them.
type wire struct{}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Write(io.Discard); err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(`{"written":1000}`)), Request: r}, nil
}

// Full batches from a lane to the wire, their fence and their answer included.
func BenchmarkDelivery(b *testing.B) {
	for _, messages := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprintf("messages=%d", messages), func(b *testing.B) { deliver(b, messages, "http://function", &wire{}) })
	}
	// Over a connection, with the time of a reader that only reads.
	b.Run("socket", func(b *testing.B) {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = io.WriteString(w, `{"written":1000}`)
		}))
		defer server.Close()
		deliver(b, 1000, server.URL, nil)
	})
}

func deliver(b *testing.B, messages int, to string, transport http.RoundTripper) {
	message := strings.Repeat("x", 432)
	c := sink.Config{FunctionURL: to, Sink: "freshet", Fence: true, Timeout: time.Minute, Heartbeat: time.Hour, ReplayWindow: time.Minute, RetryMax: time.Second, HoldPause: time.Second}
	tracker := ack.NewTracker(1, 100, nil)
	lanes := lane.NewSet(lane.Limits{Lanes: 1, BatchMessages: messages, BatchBytes: 1 << 20, BufferBytes: 1 << 22}, tracker.Opened)
	session, err := sink.Open(b.Context(), c, sink.NewClient(c, 1, opening{}), exchange.OpenRequest{Session: "s1", Lanes: 1, Confirmed: 100}, true, &sink.Waiting{}, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	d := &sink.Delivery{Config: c, Client: sink.NewClient(c, 1, transport), Session: session, Lanes: lanes, Tracker: tracker, Waiting: &sink.Waiting{}, Metrics: admin.NewMetrics(), Log: slog.New(slog.DiscardHandler)}
	go d.Run(b.Context())
	ordinal := uint32(0)
	send := func() {
		for range messages {
			ordinal++
			q := lanes.Queue(0)
			chunk := q.Begin(tracker.Next())
			chunk.Body = append(chunk.Body, message...)
			q.End(change.Position{Commit: 100, Ordinal: ordinal})
		}
		if err := lanes.Drain(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	send()
	b.SetBytes(int64(messages * len(message)))
	b.ReportAllocs()
	for b.Loop() {
		send()
	}
	b.ReportMetric(float64(b.N*messages)/b.Elapsed().Seconds(), "rows/s")
}
