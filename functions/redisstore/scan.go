package redisstore

import (
	"context"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"freshet/shared/exchange"
	"freshet/shared/problem"
)

// Scan answers the next keys, those that begin with prefix, and the cursor behind them, which is empty at the end.
func (s *Store) Scan(ctx context.Context, ask exchange.ScanRequest, prefix string) (keys []string, cursor string, err error) {
	at := parsePlace(ask.Cursor)
	keys, next, err := s.look(ctx, ask, prefix, at.cursor)
	if err == nil && at.cursor != 0 && next.run != at.run {
		// Another server has its keys in another order: looking on from there would leave some out.
		keys, next, err = s.look(ctx, ask, prefix, 0)
	}
	return keys, next.String(), err
}

// place is how far a scan has come. A cursor means something only to the run of the server that gave it.
type place struct {
	cursor uint64
	run    string
}

func (p place) String() string {
	if p.cursor == 0 {
		return ""
	}
	return strconv.FormatUint(p.cursor, 10) + "@" + p.run
}

// parsePlace answers the beginning for a text that is no place.
func parsePlace(text string) place {
	number, run, _ := strings.Cut(text, "@")
	cursor, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return place{}
	}
	return place{cursor: cursor, run: run}
}

// look is one SCAN. Behind it, in the same round trip, it asks whether the session is still the sink's, and which server this is.
func (s *Store) look(ctx context.Context, ask exchange.ScanRequest, prefix string, cursor uint64) ([]string, place, error) {
	pattern := ""
	if prefix != "" {
		pattern = glob(prefix) + "*"
	}
	pipe := s.client.Pipeline()
	scan := pipe.Scan(ctx, cursor, pattern, int64(ask.Count))
	session := pipe.HMGet(ctx, stateKey(ask.Sink), sessionField)
	info := pipe.Info(ctx, "server")
	_, _ = pipe.Exec(ctx) // each has its own error
	if err := scan.Err(); err != nil {
		return nil, place{}, s.trouble(err)
	}
	if err := session.Err(); err != nil && ask.Session != "" {
		return nil, place{}, s.trouble(err)
	}
	run, err := runOf(info)
	if err != nil {
		return nil, place{}, s.trouble(err)
	}
	if ask.Session != "" {
		f := &fence{Sink: ask.Sink, Session: ask.Session}
		switch owner, known := session.Val()[0].(string); {
		case !known:
			return nil, place{}, refusal(f, "lost state")
		case owner != ask.Session:
			return nil, place{}, refusal(f, "fenced")
		}
	}
	keys, next := scan.Val()
	return keys, place{cursor: next, run: run}, nil
}

// runOf tells one server, and one run of it, from another; empty where the user may not ask.
func runOf(info *redis.StringCmd) (string, error) {
	text, err := info.Result()
	if redis.HasErrorPrefix(err, "NOPERM") {
		return "", nil
	}
	_, id, _ := strings.Cut(text, "run_id:")
	id, _, _ = strings.Cut(id, "\r\n")
	return id, err
}

// Sweep deletes keys, if the session is the sink's, and answers how many were there.
func (s *Store) Sweep(ctx context.Context, ask exchange.SweepRequest, keys []string) (deleted int, err error) {
	args := []any{nil, nil, 1 + len(keys), stateKey(ask.Sink)} // the command and its script come first
	for i := range keys {
		args = append(args, &keys[i])
	}
	verdict, err := s.run(ctx, sweepScript, append(args, ask.Session))
	if err != nil {
		return 0, s.trouble(err)
	}
	count, done := strings.CutPrefix(verdict, "deleted ")
	if !done {
		return 0, refusal(&fence{Sink: ask.Sink, Session: ask.Session}, verdict)
	}
	if deleted, err = strconv.Atoi(count); err != nil {
		return 0, &problem.Error{What: "Redis gave an answer that makes no sense", Why: verdict}
	}
	return deleted, nil
}
