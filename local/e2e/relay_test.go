package e2e_test

import (
	"io"
	"net"
	"sync"
	"testing"

	"freshet/local/nettest"
)

// relay is a TCP proxy between two programs that can fall silent, break off, and lead elsewhere.
type relay struct {
	addr string

	listener net.Listener
	mu       sync.Mutex
	target   string
	open     chan struct{} // closed while bytes may pass
	conns    map[net.Conn]struct{}
}

// newRelay leads to target until the test ends.
func newRelay(t *testing.T, target string) *relay {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{addr: listener.Addr().String(), listener: listener, target: target, open: make(chan struct{}), conns: map[net.Conn]struct{}{}}
	close(r.open)
	go r.accept()
	t.Cleanup(r.close)
	return r
}

func (r *relay) accept() {
	for {
		conn, err := r.listener.Accept()
		if err != nil {
			return
		}
		go r.connect(conn)
	}
}

// connect joins a connection with one to the target, or ends it where nobody answers.
func (r *relay) connect(near net.Conn) {
	r.mu.Lock()
	target := r.target
	r.mu.Unlock()
	far, err := net.Dial("tcp", target)
	if err != nil {
		near.Close()
		return
	}
	r.mu.Lock()
	r.conns[near], r.conns[far] = struct{}{}, struct{}{}
	r.mu.Unlock()
	go r.pass(near, far)
	r.pass(far, near)
}

// pass carries bytes one way, while they may pass.
func (r *relay) pass(from, to net.Conn) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if err == nil {
			<-r.gate()
			_, err = to.Write(buffer[:n])
		}
		if err != nil {
			break
		}
	}
	r.drop(from, to)
}

func (r *relay) gate() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.open
}

func (r *relay) drop(conns ...net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, conn := range conns {
		conn.Close()
		delete(r.conns, conn)
	}
}

// hold lets nothing pass, either way. Connections stay, and new ones are accepted.
func (r *relay) hold() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open = make(chan struct{})
}

// release lets pass what was held, even for those who have stopped waiting for it.
func (r *relay) release() {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-r.open:
	default:
		close(r.open)
	}
}

// switchTo breaks all connections off; new ones lead to target.
func (r *relay) switchTo(target string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.target = target
	for conn := range r.conns {
		conn.Close()
	}
	clear(r.conns)
}

func (r *relay) close() {
	r.listener.Close()
	r.switchTo("")
	r.release()
}

func TestRelay(t *testing.T) {
	t.Parallel()
	echo := func(prefix string) string {
		return nettest.Serve(t, func(conn *net.TCPConn) {
			_, _ = io.WriteString(conn, prefix)
			_, _ = io.Copy(conn, conn)
		})
	}
	r := newRelay(t, echo("a"))
	conn := speak(t, r, "a")
	r.hold()
	if _, err := conn.Write([]byte("later")); err != nil {
		t.Fatal(err)
	}
	heard := make(chan string, 1)
	go func() {
		answer := make([]byte, len("later"))
		_, _ = io.ReadFull(conn, answer)
		heard <- string(answer)
	}()
	select {
	case got := <-heard:
		t.Fatalf("%q passed although nothing may", got)
	default:
	}
	r.release()
	if got := <-heard; got != "later" {
		t.Fatalf("%q came, want what was held", got)
	}
	r.switchTo(echo("b"))
	if n, err := conn.Read(make([]byte, 1)); err == nil {
		t.Fatalf("%d bytes came over a connection that was broken off", n)
	}
	speak(t, r, "b")
}

// speak connects, and wants to be greeted.
func speak(t *testing.T, r *relay, greeting string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	got := make([]byte, len(greeting))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != greeting {
		t.Fatalf("greeted with %q, %v, want %q", got, err, greeting)
	}
	return conn
}
