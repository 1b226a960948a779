package redisstore

import (
	"cmp"
	"context"
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"

	"github.com/redis/go-redis/v9"

	"freshet/functions/effect"
	"freshet/shared/exchange"
	"freshet/shared/problem"
)

func stateKey(sink string) string { return keyOf(sink, "state") }
func probeKey(sink string) string { return keyOf(sink, "probe") }

// laneKey is written by every batch of the lane.
func laneKey(sink string, lane int) string { return keyOf(sink, "lane:"+strconv.Itoa(lane)) }

func keyOf(sink, what string) string {
	return "freshet:" + cmp.Or(sink, exchange.DefaultSink) + ":" + what
}

//go:embed fence.lua
var fenceSource string

//go:embed replace.lua
var replaceSource string

//go:embed insist.lua
var insistSource string

//go:embed sweep.lua
var sweepSource string

//go:embed replay.lua
var replaySource string

//go:embed drop.lua
var dropSource string

var (
	fenceScript   = redis.NewScript(fenceSource)
	sweepScript   = redis.NewScript(sweepSource)
	insistScript  = redis.NewScript(insistSource)
	replaceScript = redis.NewScript(replaceSource)
	replayScript  = redis.NewScript(replaySource)
	dropScript    = redis.NewScript(dropSource)
)

// Store writes to one Redis. It is safe for concurrent use.
type Store struct {
	client      *redis.Client
	addr        string
	letters     Letters
	fewest      int         // values of a batch that are written in a transaction
	scriptsOnly atomic.Bool // the user may not use transactions, or the server has none
}

// New makes a store. It does not connect: a function starts, and says why it is not ready, while its Redis is down.
func New(c Config) (*Store, error) {
	options, found := c.options()
	if len(found) > 0 {
		return nil, found
	}
	client := redis.NewClient(options)
	return &Store{client: client, addr: client.Options().Addr, letters: c.Letters, fewest: fewestValues}, nil
}

// Close ends the connections.
func (s *Store) Close() error { return s.client.Close() }

// Ready answers nil when Redis accepts every command that a batch may need, not just one of them: the rest would be
// refused in the middle of a script.
func (s *Store) Ready(ctx context.Context) error {
	if err := probeScript.Run(ctx, s.client, []string{readyKey}).Err(); err != nil {
		return s.trouble(err)
	}
	return nil
}

// Apply does what the batch says. With a fence it does so once and in order: duplicate is true when it was done before, and
// an *effect.Refusal says that the batch is out of place. Any other error means that all or part of it may be missing, and that the same
// batch has to come again.
func (s *Store) Apply(ctx context.Context, b *effect.Batch) (duplicate bool, err error) {
	if b.Fence == nil {
		return false, s.applyPlain(ctx, b)
	}
	fields, err := backfills(b.Fence)
	if err != nil {
		return false, err
	}
	clears, emptied, err := s.leftover(ctx, b.Fence)
	if err != nil {
		return false, err
	}
	if clears = slices.Concat(b.Clears, clears); len(clears) > 0 {
		if duplicate, err := s.clearFenced(ctx, b.Fence, clears); duplicate || err != nil {
			return duplicate, err
		}
	}
	return s.fenced(ctx, b, append(fields, emptied...), true)
}

// fenced writes a batch, or a part of a truncate, and reads the verdict.
func (s *Store) fenced(ctx context.Context, b *effect.Batch, fields []any, advance bool) (duplicate bool, err error) {
	call := calls.Get().(*call)
	defer call.release()
	verdict, n := "", tallyOf(b)
	if advance && len(b.Letters) == 0 && n[plain] >= s.fewest && !s.scriptsOnly.Load() {
		if verdict, err = s.inTransaction(ctx, call, b, n, fields); err != nil {
			return false, s.trouble(err)
		}
	}
	if verdict == "" {
		call.fill(b, n, fields, advance, s.letters, within)
		if verdict, err = s.run(ctx, fenceScript, call.args); err != nil {
			return false, s.trouble(err)
		}
	}
	switch verdict {
	case "applied":
		return false, nil
	case "duplicate":
		return true, nil
	}
	return false, refusal(b.Fence, verdict)
}

// run calls a script by its hash, and teaches it to a Redis that does not know it yet. args has two free places in front.
func (s *Store) run(ctx context.Context, script *redis.Script, args []any) (string, error) {
	args[0], args[1] = "EVALSHA", script.Hash()
	cmd := redis.NewCmd(ctx, args...)
	err := s.client.Process(ctx, cmd)
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		args[0], args[1] = "EVAL", scriptSources[script]
		cmd = redis.NewCmd(ctx, args...)
		err = s.client.Process(ctx, cmd)
	}
	if err != nil {
		return "", err
	}
	return cmd.Text()
}

var scriptSources = map[*redis.Script]string{
	fenceScript: fenceSource, insistScript: insistSource, replaceScript: replaceSource, sweepScript: sweepSource, replayScript: replaySource, dropScript: dropSource,
}

// refusal explains the verdicts that are not a success.
func refusal(f *fence, verdict string) error {
	sink := stateKey(f.Sink)
	if verdict == "fenced" {
		return &effect.Refusal{Reason: exchange.ReasonFenced, Cause: &problem.Error{
			What: "another session owns this sink",
			Why:  fmt.Sprintf("%s in Redis names another session than %q", sink, f.Session),
			Fix:  "one poller writes to a sink at a time; give a second one its own POLLER_SINK",
		}}
	}
	why := map[string]string{
		"lost state": sink + " is not there, or not whole",
		"lost lane":  fmt.Sprintf("batch %d of lane %d came before the one in front of it was applied, or that one is gone", f.Seq, f.Lane),
		"lost place": fmt.Sprintf("batch %d of lane %d is not the last of its lane that was applied", f.Seq, f.Lane),
		"lost batch": "batches of other lanes are gone that were acknowledged",
	}[verdict]
	return &effect.Refusal{Reason: exchange.ReasonLost, Cause: &problem.Error{
		What: "Redis is behind what it had acknowledged", Why: why,
		Fix: "the poller opens a new session, which repairs this; a Redis that forgets often needs persistence or more memory",
	}}
}
