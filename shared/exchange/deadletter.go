package exchange

import (
	"cmp"
	"encoding/json"
	"time"
)

// RouteDeadLetters serves the messages of a sink that could never be written. GET answers DeadLetters: ?sink= names the sink, ?after= the
// last letter of the answer before, ?count= how many, ?id= one letter, which then comes with its message. POST takes DeadLettersRequest.
const RouteDeadLetters = "/v1/dead-letters"

// DefaultSink is the sink of requests that name none.
const DefaultSink = "freshet"

// DeadLettersKey is the Redis stream that holds the letters of a sink.
func DeadLettersKey(sink string) string { return "freshet:" + cmp.Or(sink, DefaultSink) + ":dead" }

// DeadLetters are some letters, the oldest first.
type DeadLetters struct {
	Letters []DeadLetter `json:"letters"`
	// Kept is how many there are in all.
	Kept int64 `json:"kept"`
}

// DeadLetter is one message that could not be written.
type DeadLetter struct {
	ID       string    `json:"id"` // of the entry in the Redis stream
	Time     time.Time `json:"time"`
	Table    string    `json:"table,omitempty"` // change.Table.String()
	Keys     []string  `json:"keys,omitempty"`  // removed when it was parked; none when they could not be known
	Reason   string    `json:"reason"`
	Lane     int       `json:"lane"`
	Position string    `json:"position,omitempty"`
	// Replayable says that nothing newer has been written to its keys, nor removed them.
	Replayable bool `json:"replayable"`
	// KeyOnly says that the row was too large to be kept.
	KeyOnly bool            `json:"key_only,omitempty"`
	Message json.RawMessage `json:"message,omitempty"`
}

// MostLetters is how many letters one answer holds.
const MostLetters = 1000

// What can be done to letters.
const (
	ReplayLetters = "replay" // write the message by the rules of now, unless something newer came for its keys
	DropLetters   = "drop"
)

// DeadLettersRequest asks for something to be done to letters.
type DeadLettersRequest struct {
	Sink string   `json:"sink"`
	Do   string   `json:"do"`
	IDs  []string `json:"ids,omitempty"`
	All  bool     `json:"all,omitempty"`
}

// DeadLettersResponse answers DeadLettersRequest.
type DeadLettersResponse struct {
	Done int `json:"done"`
	// Left are letters that nothing was done about.
	Left []LeftLetter `json:"left,omitempty"`
}

// LeftLetter says why nothing was done about a letter.
type LeftLetter struct {
	ID  string `json:"id"`
	Why string `json:"why"`
}
