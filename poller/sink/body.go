package sink

import (
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
)

// Body is the bytes of a request, in the pieces in which they are kept: they are never put together.
type Body [][]byte

// Len counts the bytes.
func (b Body) Len() (n int) {
	for _, piece := range b {
		n += len(piece)
	}
	return n
}

// Bytes joins the pieces.
func (b Body) Bytes() []byte { return slices.Concat(b...) }

// attach makes b the body of a request. Its pieces are read until over is called on what it returns, and never after it: net/http may still be
// writing a request that has been answered already, or given up, and the memory of its rows is to be used again.
func (b Body) attach(r *http.Request) *sending {
	s := &sending{body: b}
	if size := b.Len(); size > 0 {
		r.ContentLength, r.GetBody = int64(size), s.again
		s.first = pieces{of: s, left: append(net.Buffers(s.room[:0]), b...)}
		r.Body = &s.first
	}
	return s
}

// sending is a body on its way. net/http may begin again while an attempt that failed is not quite over.
type sending struct {
	body    Body
	first   pieces
	room    [4][]byte
	passing sync.RWMutex // held by whoever reads the pieces' memory
	ended   bool
}

// empty is a body without anything.
func (s *sending) empty() *pieces {
	s.first = pieces{of: s, left: s.room[:0]}
	return &s.first
}

func (s *sending) again() (io.ReadCloser, error) {
	return &pieces{of: s, left: slices.Clone(net.Buffers(s.body))}, nil
}

func (s *sending) over() {
	s.passing.Lock()
	s.ended = true
	s.passing.Unlock()
}

var errOver = errors.New("the request is over")

// pieces reads a body.
type pieces struct {
	of   *sending
	left net.Buffers
}

func (p *pieces) Read(to []byte) (int, error) {
	p.of.passing.RLock()
	defer p.of.passing.RUnlock()
	if p.of.ended {
		return 0, errOver
	}
	return p.left.Read(to)
}

// behind puts the head of the request before the pieces.
func (p *pieces) behind(head []byte) { p.left = slices.Insert(p.left, 0, head) }

// WriteTo writes what is left as it lies there, to a TCP connection in one system call when that takes it all. When it fails, it can be called again
// for the rest.
func (p *pieces) WriteTo(w io.Writer) (int64, error) {
	p.of.passing.RLock()
	defer p.of.passing.RUnlock()
	if p.of.ended {
		return 0, errOver
	}
	return p.left.WriteTo(w)
}

func (p *pieces) Close() error { return nil }
