package functions

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"freshet/shared/problem"
)

// idle is how long a connection waits for its next request: longer than any heartbeat of a poller, so that it is the poller, which
// knows, that closes one.
const idle = 5 * time.Minute

// Serve listens until ctx ends, then lets running requests finish and returns nil.
func Serve(ctx context.Context, c Config, h http.Handler, log *slog.Logger) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", fmt.Sprintf(":%d", c.Port))
	if err != nil {
		return &problem.Error{What: fmt.Sprintf("cannot listen on port %d", c.Port), Why: err.Error(), Fix: "end what uses the port, or set PORT to another"}
	}
	s := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       c.Timeout + 15*time.Second, // a large body over a slow line
		WriteTimeout:      2*c.Timeout + 30*time.Second,
		IdleTimeout:       idle,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	log.Info("listening", "addr", listener.Addr().String())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(listener) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	log.Info("stopping", "grace", c.Timeout)
	return shutdown(s, c.Timeout)
}

func shutdown(s *http.Server, grace time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), grace+time.Second)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("requests were still running after %s: %w", grace, err), s.Close())
	}
	return nil
}
