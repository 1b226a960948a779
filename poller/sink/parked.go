package sink

import (
	"fmt"
	"sync"
	"time"

	"freshet/poller/lane"
	"freshet/shared/change"
	"freshet/shared/exchange"
	"freshet/shared/logging"
)

// reduced is the batch with its one message cut down to the primary key: a row that no request can carry becomes a dead letter, and
// its key is removed. It has the fence of the whole batch, of which the sink applies one or the other. It is nil where that would not help.
func (c *carrier) reduced(chunk *lane.Chunk) Body {
	if !c.Config.Fence || chunk.Messages() != 1 {
		return nil // an endpoint that knows no fence keeps no letters either
	}
	b, err := change.ParseBatch(c.body.Bytes())
	if err != nil || len(b.Messages) != 1 || b.Messages[0].Action == change.Truncate {
		return nil
	}
	m := &b.Messages[0]
	why := fmt.Sprintf("the message has %d bytes, and the function answered that this is too large (FN_MAX_BODY, or a limit of what is in front of it)", len(chunk.Body))
	if m.Action == change.Delete {
		why = "" // its key is all that it needs
	}
	small := m.Reduced(why)
	body, err := b.AppendHead(nil)
	if err != nil {
		return nil
	}
	if body = change.AppendEnd(small.Append(body)); len(body) >= c.body.Len() {
		return nil
	}
	return Body{body}
}

// dead tells of messages that became dead letters, now and then.
type dead struct {
	mu    sync.Mutex
	said  time.Time
	count int
}

// add answers how many there were since it was last worth a line in the log; 0 when it is not now.
func (d *dead) add(n int, now time.Time) (worthSaying int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.count += n
	if now.Sub(d.said) < sayAgain {
		return 0
	}
	worthSaying, d.said, d.count = d.count, now, 0
	return worthSaying
}

// buried counts the dead letters of a settled batch.
func (c *carrier) buried(id string, r exchange.Receipt) {
	if r.Dead == 0 {
		return
	}
	c.Metrics.Dead.Add(float64(r.Dead))
	if n := c.dead.add(r.Dead, time.Now()); n > 0 {
		c.Log.Warn("messages could not be written and are kept as dead letters", logging.Messages, n, logging.Batch, id, "fix", "poller dead-letters list says why")
	}
}
