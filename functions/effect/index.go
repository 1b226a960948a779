package effect

import "hash/maphash"

// index finds the write of a key. Unlike a map it looks and adds in one go, which is what most keys of a batch need.
type index struct {
	places []int32 // 1 + where the write is; 0 where there is none; a power of two, at most half of them taken
}

// seed is of this process alone, so that nobody can make up keys that collide.
var seed = maphash.MakeSeed()

// place is where the key stands among the places, or where it belongs.
func (x *index) place(key []byte, writes []Write) *int32 {
	if 2*len(writes) >= len(x.places) {
		x.grow(writes)
	}
	mask := uint64(len(x.places) - 1)
	for i := maphash.Bytes(seed, key) & mask; ; i = (i + 1) & mask {
		p := &x.places[i]
		if *p == 0 || writes[*p-1].Key == string(key) {
			return p
		}
	}
}

func (x *index) grow(writes []Write) {
	const least = 64
	x.places = make([]int32, max(least, 2*len(x.places)))
	x.fill(writes)
}

// fill begins anew with these writes, of different keys.
func (x *index) fill(writes []Write) {
	clear(x.places)
	mask := uint64(len(x.places) - 1)
	for at := range writes {
		i := maphash.String(seed, writes[at].Key) & mask
		for x.places[i] != 0 {
			i = (i + 1) & mask
		}
		x.places[i] = int32(at + 1)
	}
}
