package lane

import (
	"fmt"

	"freshet/shared/problem"
)

// Limits bound what the lanes hold.
type Limits struct {
	Lanes         int `split_words:"true" default:"8" desc:"Lanes: ordered shares of the stream, one request in flight in each."`
	BatchMessages int `split_words:"true" default:"4800" desc:"Messages in one batch, at most. It is 1,200 while the function answers at once (2,400 for rows of a backfill), and more the longer it takes."`
	BatchBytes    int `split_words:"true" default:"1048576" desc:"Bytes at which a batch is full. A single larger message still travels, alone."`
	BufferBytes   int `split_words:"true" default:"16777216" desc:"Bytes of messages held in memory, at most; then the poller stops reading until the function has answered."`
}

// usualMessages is how many messages a batch has when the function is near: larger ones keep the next in line waiting. See also Set.LotMessages.
const usualMessages = 1200

// Usual is how many messages a batch has at most, unless the lanes are stretched.
func (l Limits) Usual() int { return min(l.BatchMessages, usualMessages) }

// Validate refuses limits that cannot work.
func (l Limits) Validate() (found problem.List) {
	refuse := func(wrong bool, what, fix string) {
		if wrong {
			found = append(found, &problem.Error{What: what, Fix: fix})
		}
	}
	refuse(l.Lanes < 1 || l.Lanes > 256, fmt.Sprintf("POLLER_LANES is %d", l.Lanes), "use 1 to 256")
	refuse(l.BatchMessages < 1, fmt.Sprintf("POLLER_BATCH_MESSAGES is %d", l.BatchMessages), "use at least 1")
	refuse(l.BatchBytes < 1024, fmt.Sprintf("POLLER_BATCH_BYTES is %d", l.BatchBytes), "use at least 1024")
	refuse(l.BufferBytes < 2*l.BatchBytes, fmt.Sprintf("POLLER_BUFFER_BYTES is %d", l.BufferBytes), "use at least twice POLLER_BATCH_BYTES")
	return found
}
