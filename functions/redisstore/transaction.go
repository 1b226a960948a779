package redisstore

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"freshet/functions/effect"
)

// fewestValues is how many values a batch has that is worth a second round trip.
const fewestValues = 100

// A value that goes through a script is copied into Lua and out again, which costs Redis more than storing it. So the values of a large
// batch are written by an MSET in front of the script, in one transaction:
//
//	WATCH lane key, marks; HMGET state; EXISTS both; MULTI   is the batch the next one of its lane?
//	MSET lane key, values; EVALSHA fence.lua; EXEC           only if nobody has touched the lane since
//
// Whoever applies a batch writes its lane's key, and whoever opens a session removes those of all lanes, so a batch that is late, doubled or
// foreign finds its lane touched. A flush, an eviction or a failover touches it too, or ends the connection. Redis goes on with a transaction after a
// command that fails (a right that was taken away meanwhile); so the lane's key is written by the same MSET as the values, and the
// script advances the state only where it finds that key written.
// https://redis.io/docs/latest/develop/using-commands/transactions/
//
// inTransaction answers no verdict where the script has to say what is the matter, or to do it all.
func (s *Store) inTransaction(ctx context.Context, c *call, b *effect.Batch, n tally, fields []any) (verdict string, err error) {
	conn := s.client.Conn()
	defer conn.Close()
	next, err := s.begin(ctx, conn, b.Fence)
	if err != nil || !next {
		end(ctx, conn)
		return "", err
	}
	c.fill(b, n, fields, true, s.letters, apart)
	c.args[0], c.args[1] = "EVALSHA", fenceScript.Hash()
	set, script, exec := redis.NewStatusCmd(ctx, c.values...), redis.NewCmd(ctx, c.args...), redis.NewSliceCmd(ctx, "EXEC")
	_, err = conn.Pipelined(ctx, func(p redis.Pipeliner) error {
		return errors.Join(p.Process(ctx, set), p.Process(ctx, script), p.Process(ctx, exec))
	})
	switch {
	case err == nil:
		return outcome(exec.Val())
	case errors.Is(exec.Err(), redis.Nil):
		return "", nil // somebody has touched the lane
	}
	end(ctx, conn)
	if set.Err() == nil && script.Err() == nil && s.unfit(exec.Err()) {
		return "", nil
	}
	return "", err // the first one: EXEC says no more than that there was one
}

// outcome reads what the commands of a transaction have answered: first the MSET, then the script.
func outcome(answers []any) (verdict string, err error) {
	for _, answer := range answers {
		if err, failed := answer.(error); failed {
			if redis.HasErrorPrefix(err, "NOSCRIPT") {
				return "", nil
			}
			return "", err
		}
		verdict, _ = answer.(string)
	}
	if verdict == nothingSet {
		return "", nil
	}
	return verdict, nil
}

// nothingSet is the script's verdict when the command in front of it has not done its work.
const nothingSet = "nothing set"

// begin watches the lane and begins a transaction. next says that the batch is the next one of its lane, and that there are no letters,
// whose marks the script takes away.
func (s *Store) begin(ctx context.Context, conn *redis.Conn, f *fence) (next bool, err error) {
	lane, marks := laneKey(f.Sink, f.Lane), markedKey(f.Sink)
	watch := redis.NewStatusCmd(ctx, "WATCH", lane, marks)
	state := redis.NewSliceCmd(ctx, append([]any{"HMGET", stateKey(f.Sink), sessionField, openingField, sealedField}, laneFields(f)...)...)
	laneThere, marksThere := redis.NewIntCmd(ctx, "EXISTS", lane), redis.NewIntCmd(ctx, "EXISTS", marks)
	multi := redis.NewStatusCmd(ctx, "MULTI")
	_, err = conn.Pipelined(ctx, func(p redis.Pipeliner) error {
		return errors.Join(p.Process(ctx, watch), p.Process(ctx, state), p.Process(ctx, laneThere), p.Process(ctx, marksThere), p.Process(ctx, multi))
	})
	if err != nil {
		s.unfit(err)
		var refused redis.Error
		if errors.As(err, &refused) {
			return false, nil // if it is anything else, the script is told so too
		}
		return false, err
	}
	return laneThere.Val() == 1 && marksThere.Val() == 0 && isNext(state.Val(), f), nil
}

// unfit says that there can be no transactions here, and that none has been done.
func (s *Store) unfit(err error) bool {
	unfit := err != nil && (strings.Contains(err.Error(), "NOPERM") || redis.HasErrorPrefix(err, "ERR unknown command"))
	if unfit {
		s.scriptsOnly.Store(true)
	}
	return unfit
}

// end leaves a transaction that has been begun, or may have been: it must not be there for whoever uses the connection next. Where this fails,
// the connection is of no use any more, and go-redis drops it.
func end(ctx context.Context, conn *redis.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := conn.Process(ctx, redis.NewStatusCmd(ctx, "DISCARD")); err != nil { // there was none
		_ = conn.Process(ctx, redis.NewStatusCmd(ctx, "UNWATCH"))
	}
}

// laneFields are the fields of the batch's lane, and of all lanes that it counts on.
func laneFields(f *fence) []any {
	names := []any{laneField + strconv.Itoa(f.Lane)}
	for lane := range f.After {
		names = append(names, laneField+strconv.Itoa(lane))
	}
	return names
}

// isNext judges the fields that begin asks for, as fence.lua does.
func isNext(found []any, f *fence) bool {
	if len(found) < 4 || found[0] != f.Session || found[1] != nil || found[2] == nil || batches(found[3])+1 != f.Seq {
		return false
	}
	for lane, answered := range f.After {
		if answered > 0 && batches(found[4+lane]) < answered {
			return false
		}
	}
	return true
}

// batches is how many batches of a lane were applied, as its field has it.
func batches(field any) uint64 {
	text, _ := field.(string)
	count, _, _ := strings.Cut(text, " ")
	n, _ := strconv.ParseUint(count, 10, 64)
	return n
}
