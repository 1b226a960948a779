package lane

import "freshet/shared/change"

// Lot is messages for one lane that were written before it was known which transaction they are of, and lie in memory as they are to be sent: all are short
// messages of one kind, and before the first one there is room to make it whole.
type Lot struct {
	body []byte
	room int
	rows []lotRow
}

// lotRow is where a row's record is, and its ordinal.
type lotRow struct {
	from, to int
	ordinal  uint32
}

var inLot = change.Short()

// lotClose is how much stands behind a record in a lot.
var lotClose = len(inLot.AppendClose(inLot.NoChanges(nil), nil, nil, 0))

// Begin returns the buffer to which the next message's record is to be appended; End must follow. room is for the first message; bytes and rows are
// how much is expected. Memory comes from body, as Set.Body gives it; what the lot has is not used where it is far too small, as it would be copied again and again
// while it grows.
func (l *Lot) Begin(body func(size int) []byte, room, bytes, rows int) []byte {
	if len(l.rows) > 0 {
		return inLot.AppendOpen(append(l.body, ','), "") // which names no action
	}
	if cap(l.body) < room+bytes-bytes/8 {
		l.body = body(room + bytes)
	}
	if cap(l.rows) < rows-rows/8 {
		l.rows = make([]lotRow, 0, rows)
	}
	l.room = room
	return inLot.AppendOpen(l.body[:room], "")
}

// End takes the buffer with the record, which begins at from.
func (l *Lot) End(b []byte, from int, ordinal uint32) {
	l.rows = append(l.rows, lotRow{from, len(b), ordinal})
	l.body = inLot.AppendClose(inLot.NoChanges(b), nil, nil, ordinal)
}

// Len counts the messages.
func (l *Lot) Len() int { return len(l.rows) }

// Bytes is how long they are.
func (l *Lot) Bytes() int { return max(0, len(l.body)-l.room) }

// Cap is how much memory they are in.
func (l *Lot) Cap() int { return cap(l.body) }

// Record is the part of the memory where a record is, as Begin and End had it.
func (l *Lot) Record(from, to int) []byte { return l.body[from:to] }

// Ordinal is a message's.
func (l *Lot) Ordinal(i int) uint32 { return l.rows[i].ordinal }

// Reset forgets the messages and keeps the memory.
func (l *Lot) Reset() { l.body, l.rows = l.body[:0], l.rows[:0] }

// whole makes the first message one that leaves nothing out, and returns where it begins.
func (l *Lot) whole(a change.Action, f *change.Frame, t *change.Transaction) (from int) {
	first := l.rows[0]
	b := append(change.AppendOpen(nil, a), l.body[first.from:first.to]...)
	b = f.AppendClose(change.Form{}.NoChanges(b), t, first.ordinal)
	from = first.to + lotClose - len(b)
	copy(l.body[from:], b)
	return from
}

// Takes says whether the lane can take a lot over as it is, and so it remains until something else is added. A few messages that wait are better sent with
// those of the lot.
func (q *Queue) Takes(l *Lot) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return (q.open == nil || q.large()) && l.Len() <= q.set.LotMessages() && l.Bytes()+l.room <= q.set.limits.BatchBytes
}

// Hand makes a chunk of a lot which the lane takes, without copying it: the memory is the lane's from now on. index is the first message's place in the stream.
func (q *Queue) Hand(index uint64, l *Lot, a change.Action, f *change.Frame, t *change.Transaction) {
	q.mu.Lock()
	before := q.open != nil
	if before {
		q.close()
	}
	c := q.set.empty()
	q.begun(c, index)
	c.Form(a, f, t) // whole; what follows is like it
	from := l.whole(a, f, t)
	c.home, c.Body = l.body, l.body[from:]
	for _, r := range l.rows {
		c.ends = append(c.ends, r.to+lotClose-from)
		c.places = append(c.places, change.Position{Commit: t.Commit, Ordinal: r.ordinal})
	}
	c.Last = c.places[len(c.places)-1]
	isFull := len(c.ends) >= q.set.messages()
	if isFull {
		q.close()
	}
	size := len(c.Body)
	q.mu.Unlock()
	l.body, l.rows = nil, l.rows[:0]
	q.set.used.Add(int64(size))
	if isFull || before {
		q.signal()
	}
}
