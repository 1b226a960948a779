package child

import "sync"

// tailBytes is how much of a program's output is kept.
const tailBytes = 1 << 20

// Tail keeps the last of what is written to it. The zero value is ready; it may be used from several goroutines.
type Tail struct {
	mu   sync.Mutex
	kept []byte
}

// Write keeps p. It never fails.
func (t *Tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, p...)
	if over := len(t.kept) - tailBytes; over > tailBytes {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	return len(p), nil
}

// String is what is kept.
func (t *Tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.kept)
}
