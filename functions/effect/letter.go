package effect

import (
	"fmt"
	"slices"

	"freshet/shared/problem"
)

// Letter is a message that can never be written, kept for a person to look at.
type Letter struct {
	// From is the message's index in the batch; -1 for one that could not even be read.
	From   int
	Table  string
	Reason string
	// Keys are those that the message would have written, and that are removed instead: a miss is honest, an old value is not.
	Keys     []string
	Position string
	Message  string // as JSON
	KeyOnly  bool   // the message has no more of its row than the primary key
}

// Limits are what a store can take, in bytes. Zero is no limit.
type Limits struct{ Key, Value int }

// Begin says that what follows comes of the message with this index. Indexes rise.
func (b *Batch) Begin(message int) { b.message, b.unfit = int32(message+1), nil }

// Unfit says why something of the present message could not be taken in; nil when all was.
func (b *Batch) Unfit() *problem.Error { return b.unfit }

// Park keeps the present message as a letter. What it has written so far, and the keys that it has removed, are removed. A letter before it
// whose keys are all its own is overtaken: a row can come by the stream and by a backfill in one batch.
func (b *Batch) Park(l Letter) {
	l.From = int(b.message) - 1
	for i := range b.Writes {
		if w := &b.Writes[i]; w.From == b.message {
			*w = Write{Key: w.Key, Delete: true, From: w.From}
			l.Keys = append(l.Keys, w.Key)
		}
	}
	b.Letters = slices.DeleteFunc(b.Letters, func(before Letter) bool {
		overtaken := len(before.Keys) > 0 && !slices.ContainsFunc(before.Keys, func(key string) bool { return !slices.Contains(l.Keys, key) })
		if overtaken {
			b.Overtaken++
		}
		return overtaken
	})
	b.Letters = append(b.Letters, l)
}

// Parked answers the index of the letter that a write belongs to, -1 for any other write.
func (b *Batch) Parked(w *Write) int {
	if len(b.Letters) == 0 || w.From == 0 {
		return -1
	}
	i, parked := slices.BinarySearchFunc(b.Letters, int(w.From)-1, func(l Letter, from int) int { return l.From - from })
	if !parked {
		return -1
	}
	return i
}

// overtake counts an effect that is void now, unless its message counts already: as a letter, or for what it does to the key instead.
func (b *Batch) overtake(w *Write) {
	if b.Parked(w) < 0 && (w.From != b.message || w.From == 0) {
		b.Overtaken++
	}
}

func tooLarge(has, most int) *problem.Error {
	return &problem.Error{
		What: "a value is too large", Why: fmt.Sprintf("it has %d bytes, more than the %d of FN_MAX_VALUE", has, most),
		Fix: "store less of the row with FN_VALUE; or raise FN_MAX_VALUE, and proto-max-bulk-len of the Redis where that is lower",
	}
}

func keyTooLong(has, most int) *problem.Error {
	return &problem.Error{
		What: "a key is too long", Why: fmt.Sprintf("it has %d bytes; keys have at most %d", has, most), Fix: "use other columns in FN_KEY",
	}
}
