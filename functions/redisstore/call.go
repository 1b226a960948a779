package redisstore

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"

	"freshet/functions/effect"
	"freshet/shared/change"
)

type fence = change.Fence

// call holds the arguments of one run of fence.lua. Keys and values are passed by pointer, so that none of them is boxed.
type call struct {
	args   []any
	counts []byte
}

var calls = sync.Pool{New: func() any { return new(call) }}

// release keeps the memory and lets go of what it points to.
func (c *call) release() {
	clear(c.args)
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

// fill lays the arguments out as fence.lua reads them. What b points to must stay where it is until the call is over.
func (c *call) fill(b *effect.Batch, fields []any, advance bool, l Letters) {
	f, writes := b.Fence, b.Writes
	c.args = append(c.args[:0], nil, nil, 3+len(writes), stateKey(f.Sink), lettersKey(f.Sink), markedKey(f.Sink)) // the command and its script come first
	var count [kinds]int
	for of := plain; of <= deleted; of++ {
		for i := range writes {
			if kindOf(&writes[i]) == of {
				c.args = append(c.args, &writes[i].Key)
				count[of]++
			}
		}
	}
	c.args = append(c.args, f.Session, f.Lane, f.Seq, c.after(f), f.Through.String(), f.Seal.String())
	c.args = append(c.args, len(fields)/2, count[plain], count[expiring], count[refreshed], advance)
	c.args = append(c.args, len(b.Letters), l.most(), l.age())
	c.args = append(c.args, fields...)
	for of := plain; of <= refreshed; of++ {
		for i := range writes {
			if kindOf(&writes[i]) == of {
				c.value(&writes[i])
			}
		}
	}
	c.letters(b)
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
