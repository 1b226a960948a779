package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"freshet/shared/exchange"
	"freshet/shared/problem"
)

// RouteSlot answers with what was last seen of the slot.
const RouteSlot = "/api/slot"

// Handler serves health, readiness and metrics, what slot answers, and by api what operators ask for under /api/.
func Handler(h *Health, m *Metrics, slot, api http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+exchange.RouteHealth, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "alive") })
	mux.HandleFunc("GET "+exchange.RouteReady, func(w http.ResponseWriter, _ *http.Request) {
		why := h.Ready(time.Now())
		if why == nil {
			fmt.Fprintln(w, "ready")
			return
		}
		w.Header().Set("Content-Type", problem.ContentType)
		w.WriteHeader(http.StatusServiceUnavailable)
		_ = json.NewEncoder(w).Encode(why.Details(http.StatusServiceUnavailable, "")) // a client that hung up
	})
	mux.Handle("GET "+exchange.RouteMetrics, promhttp.HandlerFor(m.Registry, promhttp.HandlerOpts{}))
	mux.Handle("GET "+RouteSlot, slot)
	mux.Handle("/api/", api)
	return mux
}

// Serve listens on addr until the context ends.
func Serve(ctx context.Context, addr string, handler http.Handler) error {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return &problem.Error{What: "cannot listen on POLLER_ADMIN_ADDR " + addr, Why: err.Error(), Fix: "choose another address or port"}
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the admin page: %w", err)
	}
	return nil
}
