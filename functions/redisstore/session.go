package redisstore

import (
	"context"
	"maps"
	"slices"

	"freshet/shared/exchange"
	"freshet/shared/problem"
)

// openTries bounds how often opening starts over because a batch of the session before came in between.
const openTries = 50

// Open begins a session, or answers again what the same session was told.
func (s *Store) Open(ctx context.Context, ask exchange.OpenRequest, plan exchange.Plan) (exchange.OpenResponse, error) {
	for range openTries {
		fields, err := s.client.HGetAll(ctx, stateKey(ask.Sink)).Result()
		if err != nil {
			return exchange.OpenResponse{}, s.trouble(err)
		}
		d, err := Decide(fields, ask, plan)
		if err != nil {
			return exchange.OpenResponse{}, err
		}
		d.Response.Plan = plan
		if len(d.Set) == 0 {
			return d.Response, nil
		}
		if done, err := s.replace(ctx, stateKey(ask.Sink), fields, d); err != nil || done {
			return d.Response, err
		}
	}
	return exchange.OpenResponse{}, &problem.Error{
		What: "the session before this one is still writing", Why: "the state changed at every attempt to take it over",
		Fix: "stop the other poller, or give this one its own POLLER_SINK", Transient: true,
	}
}

// replace writes the decision unless the state is no longer the one it was made for.
func (s *Store) replace(ctx context.Context, key string, found map[string]string, d Decision) (done bool, err error) {
	args := []any{nil, nil, 1, key, found[sessionField], found[countField], len(d.Set), len(d.Delete)}
	for _, name := range slices.Sorted(maps.Keys(d.Set)) {
		args = append(args, name, d.Set[name])
	}
	for _, name := range d.Delete {
		args = append(args, name)
	}
	verdict, err := s.run(ctx, replaceScript, args)
	if err != nil {
		return false, s.trouble(err)
	}
	return verdict == "replaced", nil
}
