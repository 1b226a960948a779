package ack

// fifo is a queue that reuses its room: what is popped from the front makes place at the back.
type fifo[T any] struct {
	items []T
	head  int
}

func (f *fifo[T]) push(v T) {
	if f.head > 0 && len(f.items) == cap(f.items) {
		n := copy(f.items, f.items[f.head:])
		clear(f.items[n:])
		f.items, f.head = f.items[:n], 0
	}
	f.items = append(f.items, v)
}

// first is nil when the queue is empty.
func (f *fifo[T]) first() *T {
	if f.head == len(f.items) {
		return nil
	}
	return &f.items[f.head]
}

func (f *fifo[T]) last() *T {
	if f.head == len(f.items) {
		return nil
	}
	return &f.items[len(f.items)-1]
}

func (f *fifo[T]) pop() {
	var zero T
	f.items[f.head] = zero
	f.head++
	if f.head == len(f.items) {
		f.items, f.head = f.items[:0], 0
	}
}

func (f *fifo[T]) all() []T { return f.items[f.head:] }
