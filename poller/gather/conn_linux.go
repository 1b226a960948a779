package gather

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// An answer that has brought flowing bytes is a long one. From then on a read that finds nothing waits until there is a lot, or for a pause: it may be
// the end of the answer that it waits for.
const (
	flowing = 64 << 10
	lot     = 256 << 10
	pause   = time.Millisecond
)

// conn gathers what comes in a long answer. What was written last is the question; so answers that are short are read as soon as they are there. Reading and
// writing may be done by two goroutines at once.
type conn struct {
	net.Conn
	raw    syscall.RawConn
	read   atomic.Int64 // of the answer so far
	raised bool         // the kernel has been told to wait for a lot

	mu       sync.Mutex
	deadline time.Time // of reading, as it was set from outside
	pause    time.Time // when a pause ends; zero outside of one

	attempt func(fd uintptr) bool // once, without waiting, from into; the rest is what came of it
	into    []byte
	n       int
	err     error
}

func wrap(c net.Conn) net.Conn {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return c // the kernel gathers for TCP alone
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return c
	}
	g := &conn{Conn: c, raw: raw}
	g.attempt = func(fd uintptr) bool {
		g.n, g.err = unix.Read(int(fd), g.into)
		return true
	}
	return g
}

func (c *conn) Write(p []byte) (int, error) {
	c.read.Store(0)
	return c.Conn.Write(p)
}

func (c *conn) Read(p []byte) (n int, err error) {
	if c.read.Load() < flowing || len(p) == 0 {
		c.wantLot(false)
		n, err = c.Conn.Read(p)
	} else if n, err = c.now(p); errors.Is(err, unix.EAGAIN) {
		n, err = c.gathered(p)
	}
	c.read.Add(int64(n))
	return n, err
}

// now reads what there is.
func (c *conn) now(p []byte) (int, error) {
	c.into = p
	for {
		if err := c.raw.Read(c.attempt); err != nil {
			return 0, err // a deadline, or the connection is closed
		}
		switch {
		case errors.Is(c.err, unix.EINTR):
			continue
		case c.err != nil:
			return 0, c.err
		case c.n == 0:
			return 0, io.EOF
		}
		return c.n, nil
	}
}

// gathered waits until there is a lot, or for a pause. What the kernel says of the end of waiting for less than that differs from version to version; so it
// is not asked for: when the pause is over, it is told to wait for nothing, and what there is is read.
func (c *conn) gathered(p []byte) (int, error) {
	if !c.wantLot(true) {
		return c.Conn.Read(p)
	}
	if err := c.waitUntil(time.Now().Add(pause)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(p)
	if err := c.waitUntil(time.Time{}); err != nil {
		return n, err
	}
	if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		return n, err
	}
	c.wantLot(false)
	return c.Conn.Read(p) // which finds out whether the time was up that was set from outside
}

// wantLot has the kernel say that there is something to be read once there is a lot. It answers whether it does so now.
// https://man7.org/linux/man-pages/man7/socket.7.html, SO_RCVLOWAT
func (c *conn) wantLot(raise bool) bool {
	if raise == c.raised {
		return raise
	}
	least := 1
	if raise {
		least = lot
	}
	var refused error
	err := c.raw.Control(func(fd uintptr) { refused = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVLOWAT, least) })
	if err == nil && refused == nil {
		c.raised = raise
	}
	return c.raised
}

// waitUntil sets the end of a pause; none is zero.
func (c *conn) waitUntil(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pause = t
	return c.limit()
}

// limit has reads end at the deadline, or with the pause if that comes before.
func (c *conn) limit() error {
	t := c.deadline
	if !c.pause.IsZero() && (t.IsZero() || c.pause.Before(t)) {
		t = c.pause
	}
	return c.Conn.SetReadDeadline(t)
}

func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	return c.limit()
}

func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.Conn.SetWriteDeadline(t))
}
