package redisstore

import (
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"sync"

	"freshet/functions/effect"
	"freshet/shared/change"
)

type fence = change.Fence

// call holds the arguments of one run of fence.lua, and of the MSET in front of it. Keys and values are passed by pointer, so that none of them
// is boxed.
type call struct {
	args   []any
	values []any // of the MSET
	counts []byte
}

var calls = sync.Pool{New: func() any { return new(call) }}

// release keeps the memory and lets go of what it points to.
func (c *call) release() {
	clear(c.args)
	clear(c.values)
	calls.Put(c)
}

// kind orders the keys of a call.
type kind int

const (
	plain kind = iota
	expiring
	refreshed // only when the key is there
	deleted
	kinds = iota
)

func kindOf(w *effect.Write) kind {
	switch {
	case w.Delete:
		return deleted
	case w.IfThere:
		return refreshed
	case w.ExpireMS > 0:
		return expiring
	}
	return plain
}

// tally is how many keys there are of each kind.
type tally [kinds]int

func tallyOf(b *effect.Batch) (n tally) {
	for i := range b.Writes {
		n[kindOf(&b.Writes[i])]++
	}
	return n
}

// manner says who sets the keys that are set for ever.
type manner bool

const (
	within manner = false // the script
	apart  manner = true  // a command in front of it, in the same transaction
)

// fill lays the arguments out as fence.lua reads them. What b points to must stay where it is until the call is over.
func (c *call) fill(b *effect.Batch, n tally, fields []any, advance bool, l Letters, how manner) {
	f := b.Fence
	lane := laneKey(f.Sink, f.Lane)
	if how == apart {
		c.setApart(b, lane)
		n[plain] = 0
	}
	c.args = append(c.args[:0], nil, nil, nil, stateKey(f.Sink), lettersKey(f.Sink), markedKey(f.Sink), lane) // the command, its script and how many keys come first
	for of := plain; of <= deleted; of++ {
		for w := range n.those(b, of) {
			c.args = append(c.args, &w.Key)
		}
	}
	c.args[2] = len(c.args) - 3
	c.args = append(c.args, f.Session, f.Lane, f.Seq, c.after(f), f.Through.String(), f.Seal.String())
	c.args = append(c.args, len(fields)/2, n[plain], n[expiring], n[refreshed], advance)
	c.args = append(c.args, len(b.Letters), l.most(), l.age(), bool(how))
	c.args = append(c.args, fields...)
	for of := plain; of <= refreshed; of++ {
		for w := range n.those(b, of) {
			c.value(w)
		}
	}
	c.letters(b)
}

// those are the writes of a kind, where the tally has any.
func (n *tally) those(b *effect.Batch, of kind) iter.Seq[*effect.Write] {
	return func(yield func(*effect.Write) bool) {
		for i := range b.Writes {
			if n[of] == 0 {
				return
			}
			if w := &b.Writes[i]; kindOf(w) == of && !yield(w) {
				return
			}
		}
	}
}

// setApart lays out the command in front of the script. The lane's key says which batch it was.
func (c *call) setApart(b *effect.Batch, lane string) {
	c.values = append(c.values[:0], "MSET", lane, b.Fence.Session+" "+strconv.FormatUint(b.Fence.Seq, 10))
	for i := range b.Writes {
		if w := &b.Writes[i]; kindOf(w) == plain {
			c.values = append(c.values, &w.Key, &w.Value)
		}
	}
}

// after spells the counts of all lanes in one argument.
func (c *call) after(f *fence) []byte {
	c.counts = c.counts[:0]
	for _, n := range f.After {
		c.counts = append(strconv.AppendUint(c.counts, n, 10), ' ')
	}
	return c.counts
}

func (c *call) value(w *effect.Write) {
	c.args = append(c.args, &w.Value)
	if w.ExpireMS > 0 || w.IfThere {
		c.args = append(c.args, w.ExpireMS)
	}
}

// backfills are the fields that the batch itself changes, each with its value.
func backfills(f *fence) (fields []any, err error) {
	for _, table := range slices.Sorted(maps.Keys(f.Backfills)) {
		text, err := json.Marshal(f.Backfills[table])
		if err != nil {
			return nil, fmt.Errorf("encode backfill of %s: %w", table, err)
		}
		fields = append(fields, backfillField+table, text)
	}
	return fields, nil
}
