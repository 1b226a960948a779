package sink

import (
	"context"
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
	room    [3][]byte
	passing sync.RWMutex // held by whoever reads the pieces' memory
	ended   bool
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

// WriteTo writes what is left as it lies there, to a TCP connection in one system call when that takes it all.
func (p *pieces) WriteTo(w io.Writer) (int64, error) {
	p.of.passing.RLock()
	defer p.of.passing.RUnlock()
	if p.of.ended {
		return 0, errOver
	}
	return p.left.WriteTo(w)
}

func (p *pieces) Close() error { return nil }

// size is how much is left.
func (p *pieces) size() int64 { return int64(Body(p.left).Len()) }

// whole is a TCP connection that takes the rest of a body at once. net/http, which counts what it sends through an io.LimitedReader, would
// have it copied into a buffer of 32 kB, again and again.
type whole struct{ *net.TCPConn }

// ReadFrom is what net/http calls when the head of a request, and as much of its body as had room beside it, is written.
func (c whole) ReadFrom(r io.Reader) (int64, error) {
	if limited, ok := r.(*io.LimitedReader); ok {
		if p, ok := limited.R.(*pieces); ok && p.size() <= limited.N {
			n, err := p.WriteTo(c.TCPConn)
			limited.N -= n
			return n, err
		}
	}
	return c.TCPConn.ReadFrom(r)
}

// dialer is how http.Transport connects.
type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// whole makes connections that take bodies at once, where they are TCP. Where TLS lies above one, it never comes to ReadFrom.
func (d dialer) whole(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := d(ctx, network, address)
	if tcp, ok := conn.(*net.TCPConn); ok && err == nil {
		return whole{tcp}, nil
	}
	return conn, err
}
