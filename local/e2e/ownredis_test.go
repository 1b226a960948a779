package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"freshet/local/server"
)

// startRedis starts a server of the test's own.
func startRedis(t *testing.T, args ...string) *server.Redis {
	t.Helper()
	s, err := server.StartRedis(context.Background(), server.RedisOptions{Args: args})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// ownRedis gives the rig a server of its own, which the function reaches through a relay.
func (r *rig) ownRedis(args ...string) (*server.Redis, *relay) {
	r.Helper()
	s := startRedis(r.T, args...)
	front := newRelay(r.T, s.Addr)
	r.fnExtra["REDIS_URL"] = "redis://" + front.addr
	r.lookAt(s)
	return s, front
}

// lookAt has the rig's own client, the judge's too, read from this server from now on.
func (r *rig) lookAt(s *server.Redis) {
	r.redis.Close()
	client := redis.NewClient(&redis.Options{Addr: s.Addr, Protocol: 2})
	r.Cleanup(func() { client.Close() }) // before the server goes
	r.redis = client
}

// counted sums the poller's metrics whose names begin so, labels included.
func (r *rig) counted(series string) (sum float64) {
	r.Helper()
	status, body, err := fetch("http://" + r.adminAddr() + "/metrics")
	if err != nil || status != http.StatusOK {
		r.Fatalf("GET /metrics of the poller: %d %v", status, err)
	}
	for line := range strings.Lines(body) {
		if !strings.HasPrefix(line, series) {
			continue
		}
		_, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			r.Fatalf("%q: %v", line, err)
		}
		sum += value
	}
	return sum
}

// found counts the sessions of the running poller that found the sink so.
func (r *rig) found(how string) int {
	r.Helper()
	return int(r.counted(`freshet_sessions_total{found="` + how + `"}`))
}

// wantFound waits for a session that found the sink so.
func (r *rig) wantFound(how string, times int) {
	r.Helper()
	eventually(r.T, patience, func() error {
		if got := r.found(how); got < times {
			return fmt.Errorf("%d sessions found the sink %s, want %d", got, how, times)
		}
		return nil
	})
}
