package sink

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"freshet/poller/ack"
	"freshet/poller/admin"
	"freshet/poller/lane"
	"freshet/shared/change"
	"freshet/shared/exchange"
	"freshet/shared/logging"
	"freshet/shared/problem"
)

// Delivery carries the lanes of one session to the sink, one request in flight in each.
type Delivery struct {
	Config   Config
	Client   *Client
	Session  *Session
	Lanes    *lane.Set
	Tracker  *ack.Tracker
	Recorder *Recorder
	Waiting  *Waiting
	Metrics  *admin.Metrics
	Log      *slog.Logger
	// Nudge is sent to when lane 0 may have a seal or a note to carry although it has no messages.
	Nudge chan struct{}
	// Closing makes a seal go out at once, replay window or not.
	Closing atomic.Bool

	pacer    pacer
	distance distance
	dead     dead
}

// Pressure says whether rows come in masses, and how far the stream is behind: then larger batches matter more than a few milliseconds.
func (d *Delivery) Pressure(busy bool, lag time.Duration) { d.pacer.pressure(busy, lag) }

// Run delivers until the context ends, or the session does: then the error is ErrLost or ErrFenced.
func (d *Delivery) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for i := range d.Lanes.Len() {
		g.Go(func() error { return d.lane(ctx, i) })
	}
	return g.Wait()
}

// carrier is one lane's place in the session.
type carrier struct {
	*Delivery
	number  int
	seq     uint64
	through change.Position
	sent    time.Time
	turn    time.Time // when a batch that is not full may go; zero while none waits
	head    []byte
	body    Body // of the batch that is being sent: its head, a chunk, and its end
}

func (d *Delivery) lane(ctx context.Context, number int) error {
	c := &carrier{Delivery: d, number: number, sent: time.Now()}
	if applied := d.Session.Opened.Applied; len(applied) > 0 && number < len(applied[0].Through) {
		c.through = applied[0].Through[number]
	}
	queue := d.Lanes.Queue(number)
	for {
		chunk, wait := c.next(queue, time.Now())
		if chunk != nil {
			began := time.Now()
			if err := c.carry(ctx, chunk); err != nil {
				return err
			}
			if !chunk.Full {
				c.pacer.took(time.Since(began))
			}
			d.Tracker.Settle(number) // first: whoever waits for the lanes to drain looks at it next
			d.Lanes.Release(chunk)
			continue
		}
		if wait == 0 { // what waits for its turn will carry the seal
			var due bool
			if wait, due = c.due(time.Now()); due {
				if err := c.send(ctx, &lane.Chunk{Last: c.through}); err != nil {
					return err
				}
				continue
			}
		}
		if err := c.idle(ctx, queue, wait); err != nil {
			return err
		}
	}
}

// next takes what may be carried now. When something waits for its turn it says for how long.
func (c *carrier) next(queue *lane.Queue, now time.Time) (chunk *lane.Chunk, wait time.Duration) {
	if chunk = queue.TakeFull(); chunk != nil {
		return chunk, 0
	}
	ready, large := queue.Partial()
	if !ready {
		return nil, 0
	}
	if !large || c.pacer.patient() {
		if c.turn.IsZero() {
			c.turn = c.pacer.reserve(now)
		}
		if wait = c.turn.Sub(now); wait > 0 {
			return nil, wait
		}
	}
	c.turn = time.Time{}
	return queue.Take(), 0
}

// idle waits until something may be there to carry, at most for as long as wait says when it is not zero.
func (c *carrier) idle(ctx context.Context, queue *lane.Queue, wait time.Duration) error {
	var nudge <-chan struct{}
	var timer <-chan time.Time
	if c.number == 0 {
		nudge = c.Nudge
	}
	if wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		timer = t.C
	}
	select {
	case <-queue.Ready():
	case <-nudge:
	case <-timer:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// How often lane 0, when it has no messages to carry, tells the sink the newest settled LSN: sealEvery when a replay window makes
// haste pointless, sealPace without one.
const (
	sealEvery = time.Second
	sealPace  = 3 * time.Millisecond
)

// due says whether an empty batch should go now: lane 0 carries seals, notes and heartbeats when no message does.
func (c *carrier) due(now time.Time) (wait time.Duration, due bool) {
	if c.number != 0 {
		return 0, false
	}
	if !c.Config.Fence {
		c.Session.acknowledgedUnfenced(c.Tracker.Settled(), now)
		return sealEvery, false
	}
	if c.Session.noted() {
		return 0, true
	}
	beat := c.sent.Add(c.Config.Heartbeat).Sub(now)
	if c.Tracker.Settled() > c.Session.Sealed() {
		pace := max(sealPace, min(sealEvery, c.Config.ReplayWindow/4))
		if c.Closing.Load() {
			pace = 0
		}
		beat = min(beat, c.sent.Add(pace).Sub(now))
	}
	return beat, beat <= 0
}

// carry delivers a chunk, in parts when the sink finds it too large.
func (c *carrier) carry(ctx context.Context, chunk *lane.Chunk) error {
	send := c.send
	if chunk.Compare != nil {
		send = c.compare
	}
	err := send(ctx, chunk)
	if !errors.Is(err, errTooLarge) {
		return err
	}
	front, back, ok := chunk.Split()
	if !ok {
		return err
	}
	c.Log.Info("the function found a batch too large; sending it in halves", logging.Lane, c.number, logging.Messages, chunk.Messages(), logging.Bytes, len(chunk.Body))
	if err := c.carry(ctx, front); err != nil {
		return err
	}
	return c.carry(ctx, back)
}

var errTooLarge = errors.New("the sink finds the batch too large")

// send makes a batch of the chunk and sees it through to its 2xx.
func (c *carrier) send(ctx context.Context, chunk *lane.Chunk) error {
	seq := c.seq + 1
	through := c.through
	if chunk.Last.Compare(through) > 0 {
		through = chunk.Last
	}
	seal := c.Tracker.Settled()
	b := change.Batch{ID: c.Session.batchID(c.number, seq), Source: c.Session.Source}
	b.Fence = c.Session.fenceFor(c.number, seq, through, seal, chunk.Backfills)
	if err := c.assemble(&b, chunk); err != nil {
		return err
	}
	if err := c.Recorder.Record(c.body); err != nil && c.Waiting.For(-1, &problem.Error{What: "cannot record batches"}, time.Now()) {
		c.Log.Warn("cannot record batches", logging.Err, err)
		c.Waiting.Over(-1)
	}
	a, err := c.settle(ctx, b.ID, chunk, c.Client.Batch)
	if err != nil {
		return err
	}
	now := time.Now()
	c.seq, c.through, c.sent = seq, through, now
	c.Session.acknowledged(c.number, seal, now)
	if now := a.rules(); now != "" && now != c.Session.Opened.Plan.Rules && c.Session.fence {
		return ErrRules
	}
	return nil
}

// assemble makes the body of a batch, of which the chunk stays where it is.
func (c *carrier) assemble(b *change.Batch, chunk *lane.Chunk) (err error) {
	if c.head, err = b.AppendHead(c.head[:0]); err != nil {
		return err
	}
	c.body = append(c.body[:0], c.head, chunk.Body, endOfBatch)
	return nil
}

var endOfBatch = change.AppendEnd(nil)

// compare has the chunk compared with what Redis has, at its place in the lane. Nothing is written, so an answer that is lost costs no more
// than the question; and what the function cannot compare keeps nobody waiting.
func (c *carrier) compare(ctx context.Context, chunk *lane.Chunk) error {
	b := change.Batch{ID: c.Session.batchID(c.number, c.seq) + "?", Source: c.Session.Source, Fence: c.Session.placeOf(c.number, c.seq, c.through)}
	if err := c.assemble(&b, chunk); err != nil {
		return err
	}
	a, err := c.settle(ctx, b.ID, chunk, c.Client.Verify)
	if err != nil {
		return err
	}
	result, a := c.Client.Comparison(a)
	chunk.Tell(result, a.Problem)
	return nil
}

// post is one attempt.
type post func(ctx context.Context, id string, body Body, attempt int) Answer

// settle repeats the same bytes until the sink has settled them. A comparison is given up where a batch would be held.
func (c *carrier) settle(ctx context.Context, id string, chunk *lane.Chunk, to post) (Answer, error) {
	again := newBackoff(c.Config.RetryMax)
	body := c.body
	defer clear(c.body) // a chunk with a huge row must not be kept by the lane that has sent it
	for attempt := 1; ; attempt++ {
		began := time.Now()
		a := to(ctx, id, body, attempt)
		if ctx.Err() != nil {
			return a, ctx.Err()
		}
		c.observe(id, attempt, chunk, a, time.Since(began))
		wait := max(again.NextBackOff(), min(a.RetryAfter, time.Minute))
		switch a.Outcome {
		case exchange.Settled:
			now := time.Now()
			c.Lanes.Stretch(stretched(c.Lanes.Usual(), c.distance.answered(now.Sub(began), now)))
			c.buried(id, a.Receipt())
			if c.Waiting.Over(c.number) {
				c.Log.Info("the function answers again", logging.Lane, c.number)
			}
			return a, nil
		case exchange.Lost:
			return a, errors.Join(ErrLost, a.Problem)
		case exchange.Fenced:
			return a, errors.Join(ErrFenced, a.Problem)
		case exchange.TooLarge:
			if chunk.Messages() > 1 {
				return a, errTooLarge
			}
			if small := c.reduced(chunk); small != nil && chunk.Compare == nil && body.Len() == c.body.Len() {
				body = small
				continue
			}
			wait = c.Config.HoldPause
		case exchange.Held:
			wait = c.Config.HoldPause
			body = c.body // where it was reduced: a person may have raised the limit
		}
		if chunk.Compare != nil && a.Outcome != exchange.Retry {
			return a, nil
		}
		if c.Waiting.For(c.number, a.Problem, time.Now()) {
			c.Log.Warn("waiting for the function", logging.Lane, c.number, logging.Batch, id, logging.Attempt, attempt, logging.Err, a.Problem)
		}
		if err := pause(ctx, wait); err != nil {
			return a, err
		}
	}
}

func (c *carrier) observe(id string, attempt int, chunk *lane.Chunk, a Answer, took time.Duration) {
	c.Metrics.Batches.WithLabelValues(a.Outcome.String()).Inc()
	c.Metrics.BatchSeconds.Observe(took.Seconds())
	if a.Outcome != exchange.Settled {
		return
	}
	c.Metrics.BatchMessages.Observe(float64(chunk.Messages()))
	if c.Log.Enabled(context.Background(), slog.LevelDebug) {
		c.Log.Debug("batch settled", logging.Batch, id, logging.Attempt, attempt, logging.Messages, chunk.Messages(), logging.Bytes, c.body.Len(), logging.Took, took)
	}
}
