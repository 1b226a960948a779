package catalog

import (
	"context"
	"fmt"
	"sync"

	"freshet/poller/render"
)

// Types knows how to render the types of columns, by OID. The zero value knows the built-in ones. It is safe for
// concurrent use.
type Types struct {
	mu   sync.RWMutex
	made map[uint32]*render.Type
}

// Get returns the type with this OID. One that was not loaded, or is gone, is rendered as text.
func (c *Types) Get(oid uint32) *render.Type {
	if t := render.Builtin(oid); t != nil {
		return t
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	if t := c.made[oid]; t != nil {
		return t
	}
	return &render.Type{OID: oid, Name: "unknown"}
}

// Load reads these types and all they are made of, anew if they were known, because a composite type can change without
// a word in the stream. Built-in types cost nothing. A type that no longer exists is no error.
func (c *Types) Load(ctx context.Context, q Querier, oids []uint32) error {
	l := loader{read: make(map[uint32]typeRow), fields: make(map[uint32][]fieldRow), made: make(map[uint32]*render.Type)}
	if err := l.readAll(ctx, q, oids); err != nil {
		return fmt.Errorf("read types: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.made == nil {
		c.made = make(map[uint32]*render.Type)
	}
	for oid := range l.read {
		c.made[oid] = l.make(oid)
	}
	return nil
}
