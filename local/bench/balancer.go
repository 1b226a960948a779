package bench

import (
	"net"
	"net/url"
	"sync"
	"time"
)

// balancer is a TCP proxy before several servers, which deals connections out to them in turn. It is far away: every byte arrives a fixed
// time after it was sent, in either direction, however many are under way.
type balancer struct {
	addr string

	listener net.Listener
	delay    time.Duration
	backends []string
	work     sync.WaitGroup

	mu    sync.Mutex
	ended bool
	conns map[net.Conn]struct{}
}

// newBalancer listens on a free port and leads to these addresses. A request through it takes twice the delay longer.
func newBalancer(delay time.Duration, backends ...string) (*balancer, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	b := &balancer{addr: listener.Addr().String(), listener: listener, delay: delay, backends: backends, conns: map[net.Conn]struct{}{}}
	b.work.Go(b.accept)
	return b, nil
}

// close breaks all connections off.
func (b *balancer) close() {
	b.listener.Close()
	b.mu.Lock()
	b.ended = true
	for conn := range b.conns {
		conn.Close()
	}
	b.mu.Unlock()
	b.work.Wait()
}

func (b *balancer) accept() {
	for n := 0; ; n++ {
		conn, err := b.listener.Accept()
		if err != nil {
			return
		}
		b.work.Go(func() { b.join(conn, b.backends[n%len(b.backends)]) })
	}
}

// join carries bytes between a client and a backend until both have said all.
func (b *balancer) join(client net.Conn, backend string) {
	defer client.Close()
	server, err := net.Dial("tcp", backend)
	if err != nil {
		return
	}
	defer server.Close()
	if !b.keep(client, server) {
		return
	}
	defer b.forget(client, server)
	var ways sync.WaitGroup
	ways.Go(func() { b.carry(client.(*net.TCPConn), server.(*net.TCPConn)) })
	ways.Go(func() { b.carry(server.(*net.TCPConn), client.(*net.TCPConn)) })
	ways.Wait()
}

// keep notes connections for close. It is false after that.
func (b *balancer) keep(conns ...net.Conn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, conn := range conns {
		b.conns[conn] = struct{}{}
	}
	return !b.ended
}

func (b *balancer) forget(conns ...net.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, conn := range conns {
		delete(b.conns, conn)
	}
}

// A piece is what was read at once, and when it is to arrive. One without bytes is the end.
type piece struct {
	buffer *[pieceBytes]byte
	n      int
	due    time.Time
}

// piecesUnderWay is how many there may be in one direction of a connection: 16 MiB, more than the poller ever has under way. They are large so that the
// balancer, which would be elsewhere, takes little of the processors.
const (
	pieceBytes     = 256 << 10
	piecesUnderWay = 64
)

var buffers = sync.Pool{New: func() any { return new([pieceBytes]byte) }}

// carry takes bytes one way, and then the news that there are no more.
func (b *balancer) carry(from, to *net.TCPConn) {
	pieces := make(chan piece, piecesUnderWay)
	go func() {
		defer close(pieces)
		for {
			p := piece{buffer: buffers.Get().(*[pieceBytes]byte)}
			var err error
			p.n, err = from.Read(p.buffer[:])
			p.due = time.Now().Add(b.delay)
			pieces <- p
			if err != nil {
				return
			}
		}
	}()
	for p := range pieces {
		time.Sleep(time.Until(p.due))
		if _, err := to.Write(p.buffer[:p.n]); err != nil {
			from.Close() // nobody listens any more: this ends the reading, and the other way
		}
		buffers.Put(p.buffer)
	}
	_ = to.CloseWrite() // it may be closed already
}

// addresses are the host and port of URLs of our own making.
func addresses(urls []string) []string {
	all := make([]string, len(urls))
	for i, text := range urls {
		u, err := url.Parse(text)
		if err != nil {
			panic(err)
		}
		all[i] = u.Host
	}
	return all
}
