package exchange_test

import (
	"testing"
	"time"

	"freshet/shared/exchange"
)

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		status int
		reason string
		want   exchange.Outcome
	}{
		{200, "", exchange.Settled}, {204, "", exchange.Settled}, {299, "", exchange.Settled},
		{301, "", exchange.Held}, {302, "", exchange.Held}, {307, "", exchange.Held}, {101, "", exchange.Held}, {0, "", exchange.Held},
		{400, "", exchange.Held}, {401, "", exchange.Held}, {403, "", exchange.Held}, {404, "", exchange.Held}, {410, "", exchange.Held}, {422, "", exchange.Held},
		{408, "", exchange.Retry}, {425, "", exchange.Retry}, {429, "", exchange.Retry}, {500, "", exchange.Retry}, {503, "", exchange.Retry}, {599, "lost", exchange.Retry},
		{409, "lost", exchange.Lost}, {409, "fenced", exchange.Fenced}, {409, "foreign", exchange.Held}, {409, "", exchange.Held}, {413, "", exchange.TooLarge},
	} {
		if got := exchange.Judge(c.status, c.reason); got != c.want {
			t.Errorf("%d %s: got %v, want %v", c.status, c.reason, got, c.want)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 1, 10, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "soon": 0, "-1": 0, "0": 0, "7": 7 * time.Second, "1.5": 0, "99999999999999999999": 0, "9223372036854775807": 1 << 30 * time.Second,
		"Thu, 01 Jan 2026 10:00:30 GMT": 30 * time.Second, "Thu, 01 Jan 2026 09:00:00 GMT": 0,
	} {
		if got := exchange.RetryAfter(value, now); got != want {
			t.Errorf("%q: got %v, want %v", value, got, want)
		}
	}
}
