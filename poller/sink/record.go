package sink

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
)

// Recorder keeps the last batches as files, each ready to be posted again with curl.
type Recorder struct {
	dir  string
	keep int
	mu   sync.Mutex
	next int
}

// NewRecorder makes the folder when it is missing; dir "" records nothing.
func NewRecorder(dir string, keep int) (*Recorder, error) {
	if dir == "" {
		return nil, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of POLLER_RECORD_DIR: %w", err)
	}
	r := &Recorder{dir: dir, keep: keep}
	for _, name := range r.names() {
		var n int
		if _, err := fmt.Sscanf(name, "batch-%d.json", &n); err == nil {
			r.next = max(r.next, n)
		}
	}
	return r, nil
}

// Record writes one batch and removes the oldest beyond what is kept.
func (r *Recorder) Record(body Body) error {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next++
	path := filepath.Join(r.dir, fmt.Sprintf("batch-%09d.json", r.next))
	if err := os.WriteFile(path, body.Bytes(), 0o600); err != nil {
		return fmt.Errorf("record a batch: %w", err)
	}
	names := r.names()
	for _, name := range names[:max(0, len(names)-r.keep)] {
		if err := os.Remove(filepath.Join(r.dir, name)); err != nil {
			return fmt.Errorf("remove an old recording: %w", err)
		}
	}
	return nil
}

// names lists the recordings, oldest first.
func (r *Recorder) names() (names []string) {
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		return nil
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "batch-") && strings.HasSuffix(e.Name(), ".json") {
			names = append(names, e.Name())
		}
	}
	sort.Strings(names)
	return names
}
