package e2e_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// wantExactly waits until Redis holds the keys and values that these queries make, and no other keys but freshet's own: for keys and
// values that are not the default ones, which the judge knows.
func (r *rig) wantExactly(within time.Duration, queries ...string) {
	r.Helper()
	var last string
	deadline := time.Now().Add(within)
	for tick := time.NewTicker(look); ; <-tick.C {
		if last = r.differsFrom(queries); last == "" {
			return
		}
		if time.Now().After(deadline) {
			r.Fatalf("after %s: %s", within, last)
		}
	}
}

func (r *rig) differsFrom(queries []string) string {
	r.Helper()
	want := map[string]string{}
	for _, query := range queries {
		rows, err := r.db.Query(r.Context(), query)
		if err != nil {
			r.Fatalf("%s: %v", query, err)
		}
		for rows.Next() {
			var key, value string
			if err := rows.Scan(&key, &value); err != nil {
				r.Fatal(err)
			}
			want[key] = value
		}
		if err := rows.Err(); err != nil {
			r.Fatalf("%s: %v", query, err)
		}
	}
	for key, value := range want {
		if got, there := r.get(key); !there || got != value {
			return fmt.Sprintf("%s is %q, want %q", key, got, value)
		}
	}
	for _, key := range r.keys() {
		if _, known := want[key]; !known {
			return fmt.Sprintf("%s is without a row", key)
		}
	}
	return ""
}

// watchValues looks at the keys all the time until the returned function is called, and fails on a value that is not sound.
func (r *rig) watchValues(keys []string, sound func(key, value string) error) (stop func()) {
	ctx, cancel := context.WithCancel(r.Context())
	done := make(chan error, 1)
	looks := 0
	go func() {
		for ctx.Err() == nil {
			values, err := r.redis.MGet(ctx, keys...).Result()
			if ctx.Err() != nil {
				break
			}
			for i := range keys {
				if value, there := values[i].(string); err == nil && there {
					err = sound(keys[i], value)
				}
			}
			if err != nil {
				done <- err
				return
			}
			looks++
			time.Sleep(time.Millisecond) // leaves the server to those who work
		}
		done <- nil
	}()
	return func() {
		r.Helper()
		cancel()
		if err := <-done; err != nil {
			r.Error(err)
		}
		if looks == 0 {
			r.Error("nobody looked")
		}
	}
}

// fill puts so many keys under a prefix into Redis at once, as if rows had been there for long.
func (r *rig) fill(prefix string, keys int) {
	r.Helper()
	const chunk = 2000 // others use the server too
	for from := 0; from < keys; from += chunk {
		err := r.redis.Eval(r.Context(), `for i = ARGV[1], ARGV[2] do redis.call('SET', KEYS[1] .. string.format('%d', i), '{}') end`,
			[]string{prefix}, from+1, min(keys, from+chunk)).Err()
		if err != nil && err != redis.Nil {
			r.Fatal(err)
		}
	}
}

// size is how many keys there are.
func (r *rig) size() int64 {
	r.Helper()
	n, err := r.redis.DBSize(r.Context()).Result()
	if err != nil {
		r.Fatal(err)
	}
	return n
}

// metric is the sum of a metric of the poller over its labels.
func (r *rig) metric(name string) (sum float64) {
	r.Helper()
	_, body, err := fetch("http://" + r.adminAddr() + "/metrics")
	if err != nil {
		return 0
	}
	return sumOf(r.T, body, name)
}

func sumOf(t *testing.T, body, name string) (sum float64) {
	t.Helper()
	for _, line := range splitLines(body) {
		var value float64
		if rest, ok := metricLine(line, name); ok {
			if _, err := fmt.Sscan(rest, &value); err == nil {
				sum += value
			}
		}
	}
	return sum
}

func splitLines(text string) []string { return strings.Split(text, "\n") }

// metricLine finds the value in a line of the text format.
func metricLine(line, name string) (value string, ok bool) {
	rest, ok := strings.CutPrefix(line, name)
	if !ok || rest == "" || rest[0] != ' ' && rest[0] != '{' {
		return "", false
	}
	return rest[strings.LastIndexByte(rest, ' ')+1:], true
}
