package effect

import "hash/maphash"

// index finds the write of a key. Unlike a map it looks and adds in one go, which is what most keys of a batch need. It begins empty, and
// stays so while each key comes behind the one before it: a page of a backfill is read in the order of the primary key, and new rows
// mostly have rising ones.
type index struct {
	places []int32 // 1 + where the write is; 0 where there is none; a power of two, at most half of them taken
	used   bool    // some key did not come behind the one before it; until then places mean nothing
}

// seed is of this process alone, so that nobody can make up keys that collide.
var seed = maphash.MakeSeed()

// find answers the write of the key. If there is none, the caller adds it to writes next.
func (x *index) find(key []byte, writes []Write) *Write {
	if !x.used {
		if len(writes) == 0 || behind(key, writes[len(writes)-1].Key) {
			return nil
		}
		x.used = true
		x.fill(writes)
	}
	at := x.place(key, writes)
	if *at > 0 {
		return &writes[*at-1]
	}
	*at = int32(len(writes) + 1)
	return nil
}

// behind compares lengths first, so that 10 is behind 9.
func behind(key []byte, last string) bool {
	return len(key) > len(last) || len(key) == len(last) && string(key) > last
}

// place is where the key stands among the places, or where it belongs.
func (x *index) place(key []byte, writes []Write) *int32 {
	if 2*len(writes) >= len(x.places) {
		x.fill(writes)
	}
	mask := uint64(len(x.places) - 1)
	for i := maphash.Bytes(seed, key) & mask; ; i = (i + 1) & mask {
		p := &x.places[i]
		if *p == 0 || writes[*p-1].Key == string(key) {
			return p
		}
	}
}

// fill begins anew with these writes, of different keys, and has room for one more at least.
func (x *index) fill(writes []Write) {
	const least = 64
	size := max(least, len(x.places))
	for size <= 2*len(writes) {
		size *= 2
	}
	if size > len(x.places) {
		x.places = make([]int32, size)
	} else {
		clear(x.places)
	}
	mask := uint64(size - 1)
	for at := range writes {
		i := maphash.String(seed, writes[at].Key) & mask
		for x.places[i] != 0 {
			i = (i + 1) & mask
		}
		x.places[i] = int32(at + 1)
	}
}
