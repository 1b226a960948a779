package redisstore

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"

	"freshet/shared/exchange"
	"freshet/shared/problem"
)

// openTries bounds how often opening starts over because a batch of the session before came in between. After patientTries no more of
// its batches are let through.
const openTries, patientTries = 50, 10

// Open begins a session, or answers again what the same session was told.
func (s *Store) Open(ctx context.Context, ask exchange.OpenRequest, plan exchange.Plan) (exchange.OpenResponse, error) {
	for try := range openTries {
		fields, err := s.client.HGetAll(ctx, stateKey(ask.Sink)).Result()
		if err != nil {
			return exchange.OpenResponse{}, s.trouble(err)
		}
		bare := len(fields) == 0 && s.bare(ctx)
		d, err := Decide(fields, bare, ask, plan)
		if err != nil {
			return exchange.OpenResponse{}, err
		}
		d.Response.Plan = plan
		if len(d.Set) == 0 {
			return d.Response, nil
		}
		if done, err := s.replace(ctx, ask.Sink, fields, d); err != nil || done {
			return d.Response, err
		}
		if try == patientTries {
			if err := s.insist(ctx, ask, fields); err != nil {
				return exchange.OpenResponse{}, s.trouble(err)
			}
		}
	}
	return exchange.OpenResponse{}, &problem.Error{
		What: "the session before this one is still writing", Why: "the state changed at every attempt to take it over",
		Fix: "stop the other poller, or give this one its own POLLER_SINK", Transient: true,
	}
}

// mostBare is how many keys are looked at to find out whether all are freshet's own.
const mostBare = 100

// bare says that Redis is known to have no keys but freshet's own: then nothing of an earlier life needs to be looked for.
func (s *Store) bare(ctx context.Context) bool {
	if size, err := s.client.DBSize(ctx).Result(); err != nil || size > mostBare {
		return false // a user who may not ask does not know
	}
	foreign := false
	err := s.scan(ctx, "", func(keys []string) error {
		foreign = foreign || slices.ContainsFunc(keys, func(key string) bool { return !strings.HasPrefix(key, "freshet:") })
		return nil
	})
	return err == nil && !foreign
}

// insist has no more batches of the session before let through.
func (s *Store) insist(ctx context.Context, ask exchange.OpenRequest, found map[string]string) error {
	_, err := s.run(ctx, insistScript, append(keysOfLanes(ask.Sink, found), ask.Session))
	return err
}

// keysOfLanes begins the arguments of a script that touches the state and all lanes that it tells of.
func keysOfLanes(sink string, fields map[string]string) (args []any) {
	lanes, _ := strconv.Atoi(fields[lanesField])
	lanes = max(0, min(lanes, len(fields)))
	args = append(args, nil, nil, 1+lanes, stateKey(sink)) // the command and its script come first
	for lane := range lanes {
		args = append(args, laneKey(sink, lane))
	}
	return args
}

// replace writes the decision unless the state is no longer the one it was made for.
func (s *Store) replace(ctx context.Context, sink string, found map[string]string, d Decision) (done bool, err error) {
	args := append(keysOfLanes(sink, found), found[sessionField], found[countField], len(d.Set), len(d.Delete))
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
