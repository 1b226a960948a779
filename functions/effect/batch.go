// Package effect is what a batch of messages does to the keys of a store, whatever the store is: some prefixes are
// emptied, then every key that is left is written or deleted once.
package effect

import (
	"strings"
	"unsafe"

	"freshet/shared/change"
	"freshet/shared/problem"
)

// Write is the one thing that happens to a key.
type Write struct {
	Key    string
	Value  string
	Delete bool
	// IfThere writes the value only when the key is there. Without an expiry of its own it keeps the key's.
	IfThere bool
	// From is the message that this comes of, counted from 1; 0 when nobody has said.
	From int32
	// ExpireMS is how long the key lives, in milliseconds; zero is for ever.
	ExpireMS int64
}

// Batch gathers the effects of messages in their order. A later message for a key overtakes an earlier one, so that order between
// keys no longer matters. A batch is reused through Reset; its keys then are no longer valid.
type Batch struct {
	// Fence is nil when the batch is applied as it is.
	Fence *change.Fence
	// Clears are prefixes whose keys are all deleted, before Writes are done.
	Clears []string
	Writes []Write
	// Letters are messages that can never be written, in the order of From.
	Letters []Letter
	// Sink is where the letters are that a write of these keys makes obsolete; empty for the default.
	Sink string
	// Limits stay when the batch is reset.
	Limits Limits
	// Overtaken counts the effects that a later message of the batch made void.
	Overtaken int

	at      index
	keys    []byte         // the bytes of all keys, so that a key costs no allocation of its own
	message int32          // whose effects are being gathered
	unfit   *problem.Error // why not all of them were taken in
}

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() {
	clear(b.Writes) // values point into a request's body, which must not be kept alive
	clear(b.Letters)
	b.at.used = false
	*b = Batch{Clears: b.Clears[:0], Writes: b.Writes[:0], Letters: b.Letters[:0], Limits: b.Limits, at: b.at, keys: b.keys[:0]}
}

// Empty says that no key is touched.
func (b *Batch) Empty() bool { return len(b.Writes) == 0 && len(b.Clears) == 0 }

// Set makes value the content of key. Key is copied, value is not.
func (b *Batch) Set(key []byte, value string, expireMS int64) {
	if b.tooLarge(key, value) {
		return
	}
	b.put(key, &Write{Value: value, ExpireMS: expireMS})
}

// tooLarge removes the key of a value that is.
func (b *Batch) tooLarge(key []byte, value string) bool {
	if b.Limits.Value == 0 || len(value) <= b.Limits.Value {
		return false
	}
	b.unfit = tooLarge(len(value), b.Limits.Value)
	b.Delete(key)
	return true
}

// Refresh makes value the content of key if the key is there. Key is copied, value is not.
func (b *Batch) Refresh(key []byte, value string, expireMS int64) {
	if b.tooLarge(key, value) {
		return
	}
	b.put(key, &Write{Value: value, ExpireMS: expireMS, IfThere: true})
}

// Delete removes key. Key is copied.
func (b *Batch) Delete(key []byte) { b.put(key, &Write{Delete: true}) }

// put adds a write that has no key yet. A pointer, and one member at a time: copying a struct as a whole right after its members were
// stored waits for these stores, for longer than all else here takes.
func (b *Batch) put(key []byte, w *Write) {
	if b.Limits.Key > 0 && len(key) > b.Limits.Key {
		if !w.Delete { // there can be no such key to delete
			b.unfit = keyTooLong(len(key), b.Limits.Key)
		}
		return
	}
	if was := b.at.find(key, b.Writes); was != nil {
		b.overtake(was)
		was.From = b.message
		was.follow(w)
		return
	}
	b.Writes = append(b.Writes, Write{})
	to := &b.Writes[len(b.Writes)-1]
	to.Key, to.Value, to.ExpireMS = b.keep(key), w.Value, w.ExpireMS
	to.Delete, to.IfThere, to.From = w.Delete, w.IfThere, b.message
}

// follow makes w what is left of it when next follows for the same key. What is written only when the key is there follows the write before
// it, which has decided that.
func (w *Write) follow(next *Write) {
	switch {
	case !next.IfThere:
		w.Delete, w.IfThere, w.ExpireMS = next.Delete, false, next.ExpireMS
	case w.Delete:
		return
	case next.ExpireMS != 0:
		w.ExpireMS = next.ExpireMS
	}
	w.Value = next.Value
}

// keep copies key behind the others. When the buffer grows, earlier keys stay where they were.
func (b *Batch) keep(key []byte) string {
	start := len(b.keys)
	b.keys = append(b.keys, key...)
	return unsafe.String(unsafe.SliceData(b.keys[start:]), len(key))
}

// Clear removes every key that begins with prefix, and what the batch did to such keys so far.
func (b *Batch) Clear(prefix string) {
	kept := b.Writes[:0]
	for _, w := range b.Writes {
		if strings.HasPrefix(w.Key, prefix) {
			b.overtake(&w)
			continue
		}
		kept = append(kept, w)
	}
	clear(b.Writes[len(kept):])
	b.Writes = kept
	if b.at.used {
		b.at.fill(kept)
	}
	b.Clears = append(b.Clears, prefix)
}

// Counts says how many keys are written and how many are deleted, leaving out those that are deleted for a letter.
func (b *Batch) Counts() (written, deleted int) {
	parked := 0
	for i := range b.Writes {
		switch w := &b.Writes[i]; {
		case b.Parked(w) >= 0:
			parked++
		case w.Delete:
			deleted++
		}
	}
	return len(b.Writes) - deleted - parked, deleted
}
