package lane

import "freshet/shared/change"

// Chunk is the messages of one batch to be, encoded and joined by commas.
type Chunk struct {
	Body []byte
	// Last is the position of the newest message.
	Last change.Position
	// Alone marks a message that must not share its batch: a truncate.
	Alone bool
	// Full says that the chunk was closed because it had reached a limit.
	Full bool
	// Backfills travel in the fence of the batch.
	Backfills map[string]change.Backfill
	ends      []int // where each message ends in Body
	places    []change.Position
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
	front = &Chunk{Body: c.Body[:cut:cut], Last: c.places[half-1], ends: c.ends[:half], places: c.places[:half]}
	back = &Chunk{Body: c.Body[cut+1:], Last: c.Last, Backfills: c.Backfills, places: c.places[half:]}
	for _, end := range c.ends[half:] {
		back.ends = append(back.ends, end-cut-1)
	}
	return front, back, true
}

func (c *Chunk) reset() {
	*c = Chunk{Body: c.Body[:0], ends: c.ends[:0], places: c.places[:0]}
}
