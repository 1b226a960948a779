package exchange

import (
	"net/http"
	"strconv"
	"time"
)

// Outcome is what an answer to a batch means for its lane.
type Outcome int

// The outcomes.
const (
	Settled  Outcome = iota // 2xx: written, deleted, filtered on purpose, or kept as a dead letter
	Retry                   // trouble that passes: again soon, with backoff
	Held                    // configuration is wrong: say why, try slowly, never skip
	TooLarge                // halve the batch
	Lost                    // Redis is behind what it had acknowledged: open a new session
	Fenced                  // another session owns the sink
)

var outcomeNames = [...]string{"settled", "retry", "held", "too_large", "lost", "fenced"}

func (o Outcome) String() string { return outcomeNames[o] }

// Reasons in a 409 answer.
const (
	ReasonLost    = "lost"
	ReasonFenced  = "fenced"
	ReasonForeign = "foreign" // RouteSessions: the sink belongs to another database
)

// Judge reads a status code. reason is the member of that name in the problem+json body, empty when there was none.
// A redirect is a mistake in the URL: following it could turn a POST into a GET.
func Judge(status int, reason string) Outcome {
	switch {
	case status >= 200 && status < 300:
		return Settled
	case status == http.StatusConflict && reason == ReasonLost:
		return Lost
	case status == http.StatusConflict && reason == ReasonFenced:
		return Fenced
	case status == http.StatusRequestEntityTooLarge:
		return TooLarge
	case status == http.StatusRequestTimeout, status == http.StatusTooEarly, status == http.StatusTooManyRequests, status >= 500:
		return Retry
	}
	return Held
}

// RetryAfter reads a Retry-After header: seconds or a date (RFC 9110, 10.2.3). Zero when there is none.
func RetryAfter(value string, now time.Time) time.Duration {
	const most = 1 << 30 // seconds; many more would overflow a Duration
	if seconds, err := strconv.Atoi(value); err == nil && seconds >= 0 {
		return time.Duration(min(seconds, most)) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}
