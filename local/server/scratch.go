package server

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Scratch is a temporary folder that is removed for certain: by Remove, or, when this process was killed, by the next
// one that makes a Scratch.
type Scratch struct {
	Path  string
	alive *os.File // locked as long as its owner lives; the kernel unlocks it
}

const scratchPattern = "freshet-*"

// NewScratch makes a folder that other accounts may pass through but not list.
func NewScratch() (*Scratch, error) {
	sweep(os.TempDir())
	dir, err := os.MkdirTemp("", scratchPattern)
	if err != nil {
		return nil, fmt.Errorf("make a temporary folder: %w", err)
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		return nil, fmt.Errorf("open %s to the server's account: %w", dir, err)
	}
	alive, err := os.Create(aliveFile(dir))
	if err != nil {
		return nil, fmt.Errorf("mark %s as used: %w", dir, err)
	}
	if err := syscall.Flock(int(alive.Fd()), syscall.LOCK_EX); err != nil {
		return nil, fmt.Errorf("lock %s: %w", alive.Name(), err)
	}
	return &Scratch{Path: dir, alive: alive}, nil
}

// Remove deletes the folder.
func (s *Scratch) Remove() error {
	defer s.alive.Close()
	return os.RemoveAll(s.Path)
}

func aliveFile(dir string) string { return filepath.Join(dir, "alive") }

// sweep removes what killed processes left. It is no one's loss when it cannot.
func sweep(root string) {
	dirs, _ := filepath.Glob(filepath.Join(root, scratchPattern))
	for _, dir := range dirs {
		if abandoned(dir) {
			_ = os.RemoveAll(dir)
		}
	}
}

// abandoned says that the folder's owner is dead. A young folder may not be locked yet.
func abandoned(dir string) bool {
	const young = 10 * time.Minute
	alive, err := os.Open(aliveFile(dir))
	if err != nil {
		return false
	}
	defer alive.Close()
	info, err := alive.Stat()
	if err != nil || time.Since(info.ModTime()) < young {
		return false
	}
	return syscall.Flock(int(alive.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
}
