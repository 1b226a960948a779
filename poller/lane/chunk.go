package lane

import (
	"fmt"
	"slices"

	"freshet/shared/change"
	"freshet/shared/exchange"
	"freshet/shared/problem"
)

// Chunk is the messages of one batch to be, encoded and joined by commas.
type Chunk struct {
	Body []byte
	home []byte // where Body was handed over from, if it does not begin there
	// Last is the position of the newest message.
	Last change.Position
	// Alone marks a message that must not share its batch: a truncate.
	Alone bool
	// Full says that the chunk was closed because it had reached a limit.
	Full bool
	// Backfills travel in the fence of the batch.
	Backfills map[string]change.Backfill
	// Compare is set when the messages are to be compared with what Redis has instead of being written.
	Compare *Comparison
	rows    []int // of a comparison: which row each message is
	ends    []int // where each message ends in Body
	places  []change.Position
	short   bool // messages may leave out what the one before them says
	like    change.Like
	whole   []int // the messages that leave out nothing, where some do
}

// Form is how the next message is to be written. It must then be written so.
func (c *Chunk) Form(a change.Action, f *change.Frame, t *change.Transaction) change.Form {
	if !c.short {
		return change.Form{}
	}
	form := c.like.Next(a, f, t)
	if form.Whole() {
		c.whole = append(c.whole, len(c.ends))
	}
	return form
}

// Comparison is told what became of rows that went through the lanes to be compared. A lane compares them between what was sent before and
// what is sent after, so nothing but damage can make them differ.
type Comparison struct {
	// Done gets the result for these rows, or why there is none. It is called by the lanes, several at a time.
	Done func(rows []int, result exchange.Comparison, failed *problem.Error)
}

// Tell passes on what became of the chunk's rows.
func (c *Chunk) Tell(result exchange.Comparison, failed *problem.Error) {
	c.Compare.Done(c.rows, result, failed)
}

// Messages counts the chunk's messages.
func (c *Chunk) Messages() int { return len(c.ends) }

// Split cuts the chunk in two for a sink that finds it too large; ok is false for a single message.
func (c *Chunk) Split() (front, back *Chunk, ok bool) {
	if len(c.ends) < 2 {
		return nil, nil, false
	}
	half := len(c.ends) / 2
	cut := c.ends[half-1]
	front = &Chunk{Body: c.Body[:cut:cut], Last: c.places[half-1], Compare: c.Compare, ends: c.ends[:half], places: c.places[:half]}
	back = &Chunk{Body: c.Body[cut+1:], Last: c.Last, Backfills: c.Backfills, Compare: c.Compare, places: c.places[half:]}
	if c.Compare != nil {
		front.rows, back.rows = c.rows[:half], c.rows[half:]
	}
	longer := 0 // the first message behind the cut, which has none before it any more
	if first, short := c.made(half); short {
		longer = len(first) - (c.ends[half] - cut - 1)
		back.Body = append(first, c.Body[c.ends[half]:]...)
	}
	for _, end := range c.ends[half:] {
		back.ends = append(back.ends, end-cut-1+longer)
	}
	at, _ := slices.BinarySearch(c.whole, half)
	front.whole = c.whole[:at]
	if len(c.whole) > 0 {
		back.whole = append(back.whole, 0)
	}
	for _, n := range c.whole[at:] {
		if n > half {
			back.whole = append(back.whole, n-half)
		}
	}
	return front, back, true
}

// made is a short message made whole.
func (c *Chunk) made(message int) (whole []byte, short bool) {
	at, found := slices.BinarySearch(c.whole, message)
	if found || at == 0 {
		return nil, false
	}
	from := 0
	if first := c.whole[at-1]; first > 0 {
		from = c.ends[first-1] + 1
	}
	whole, err := change.Whole(c.Body[from:c.ends[message]])
	if err != nil {
		panic(fmt.Sprintf("messages that the poller itself has written cannot be read: %v", err))
	}
	return whole, true
}

// reset empties the chunk, and returns the memory that its messages were in.
func (c *Chunk) reset() (body []byte) {
	if body = c.Body[:0]; c.home != nil {
		body = c.home[:0]
	}
	*c = Chunk{rows: c.rows[:0], ends: c.ends[:0], places: c.places[:0], whole: c.whole[:0]}
	return body
}
