// Package effect is what a batch of messages does to the keys of a store, whatever the store is: some prefixes are
// emptied, then every key that is left is written or deleted once.
package effect

import (
	"strings"
	"unsafe"

	"freshet/shared/change"
)

// Write is the one thing that happens to a key.
type Write struct {
	Key    string
	Value  string
	Delete bool
	// IfThere writes the value only when the key is there. Without an expiry of its own it keeps the key's.
	IfThere bool
	// Message is what Batch.Message was: the message whose effect this is.
	Message int32
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
	// Message is noted with every write that is added; whoever wants to know later sets it before each message.
	Message int32
	// Overtaken counts the effects that a later message of the batch made void.
	Overtaken int

	at   map[string]int32 // key -> index in Writes
	keys []byte           // the bytes of all keys, so that a key costs no allocation of its own
}

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() {
	clear(b.Writes) // values point into a request's body, which must not be kept alive
	clear(b.at)
	*b = Batch{Clears: b.Clears[:0], Writes: b.Writes[:0], at: b.at, keys: b.keys[:0]}
}

// Empty says that no key is touched.
func (b *Batch) Empty() bool { return len(b.Writes) == 0 && len(b.Clears) == 0 }

// Set makes value the content of key. Key is copied, value is not.
func (b *Batch) Set(key []byte, value string, expireMS int64) {
	b.put(key, Write{Value: value, ExpireMS: expireMS})
}

// Refresh makes value the content of key if the key is there. Key is copied, value is not.
func (b *Batch) Refresh(key []byte, value string, expireMS int64) {
	b.put(key, Write{Value: value, ExpireMS: expireMS, IfThere: true})
}

// Delete removes key. Key is copied.
func (b *Batch) Delete(key []byte) { b.put(key, Write{Delete: true}) }

func (b *Batch) put(key []byte, w Write) {
	w.Message = b.Message
	if i, known := b.at[string(key)]; known {
		b.Writes[i] = b.Writes[i].then(w)
		b.Overtaken++
		return
	}
	w.Key = b.keep(key)
	b.index(w.Key, len(b.Writes))
	b.Writes = append(b.Writes, w)
}

// then is what is left of w when next follows for the same key. What is written only when the key is there follows the write before it, which
// has decided that.
func (w Write) then(next Write) Write {
	next.Key = w.Key
	switch {
	case !next.IfThere:
		return next
	case w.Delete:
		w.Message = next.Message
		return w
	case next.ExpireMS == 0:
		next.ExpireMS = w.ExpireMS
	}
	next.IfThere = w.IfThere
	return next
}

func (b *Batch) index(key string, i int) {
	if b.at == nil {
		b.at = make(map[string]int32)
	}
	b.at[key] = int32(i)
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
	clear(b.at)
	for _, w := range b.Writes {
		if strings.HasPrefix(w.Key, prefix) {
			b.Overtaken++
			continue
		}
		b.index(w.Key, len(kept))
		kept = append(kept, w)
	}
	clear(b.Writes[len(kept):])
	b.Writes = kept
	b.Clears = append(b.Clears, prefix)
}

// Counts says how many keys are written and how many are deleted.
func (b *Batch) Counts() (written, deleted int) {
	for i := range b.Writes {
		if b.Writes[i].Delete {
			deleted++
		}
	}
	return len(b.Writes) - deleted, deleted
}
