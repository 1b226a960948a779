package bench

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"testing"
	"time"

	"freshet/local/nettest"
)

// tooLong leaves room for a busy machine, and none for a delay that adds up with the bytes.
const tooLong = 2 * time.Second

func echo(conn *net.TCPConn) { _, _ = io.Copy(conn, conn) }

func through(t *testing.T, delay time.Duration, backends ...string) func() *net.TCPConn {
	t.Helper()
	b, err := newBalancer(delay, backends...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.close)
	return func() *net.TCPConn {
		conn, err := net.Dial("tcp", b.addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn.(*net.TCPConn)
	}
}

func TestBalancer_DelaysEachWay(t *testing.T) {
	const delay, requests = 20 * time.Millisecond, 3
	conn := through(t, delay, nettest.Serve(t, echo))()
	began := time.Now()
	for range requests {
		if _, err := conn.Write([]byte("?")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(began); took < 2*delay*requests || took > tooLong {
		t.Errorf("%d requests took %s, want a little more than %s", requests, took, 2*delay*requests)
	}
}

// What is under way does not wait for what is before it, and the end comes last: the whole costs the delay twice, not twice a piece.
func TestBalancer_PassesManyBytesUnchanged(t *testing.T) {
	const delay = 20 * time.Millisecond
	sent := make([]byte, 8<<20)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(sent)
	conn := through(t, delay, nettest.Serve(t, echo))()
	began := time.Now()
	go func() {
		_, _ = conn.Write(sent)
		_ = conn.CloseWrite()
	}()
	got, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < 2*delay || took > tooLong {
		t.Errorf("%d bytes took %s", len(sent), took)
	}
	if !bytes.Equal(got, sent) {
		t.Errorf("%d other bytes came back than the %d that were sent", len(got), len(sent))
	}
}

func TestBalancer_LetsOneSideEndFirst(t *testing.T) {
	conn := through(t, time.Millisecond, nettest.Serve(t, func(conn *net.TCPConn) {
		heard, _ := io.ReadAll(conn)
		fmt.Fprintf(conn, "%d bytes", len(heard))
	}))()
	if _, err := conn.Write(make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(conn); err != nil || string(got) != "1000 bytes" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestBalancer_DealsConnectionsOut(t *testing.T) {
	var backends []string
	for _, name := range []string{"a", "b", "c"} {
		backends = append(backends, nettest.Serve(t, func(conn *net.TCPConn) { _, _ = io.WriteString(conn, name) }))
	}
	dial := through(t, time.Millisecond, backends...)
	var got []string
	for range 6 {
		name, err := io.ReadAll(dial())
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(name))
	}
	slices.Sort(got)
	if want := []string{"a", "a", "b", "b", "c", "c"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestBalancer_EndsWithItsBackend(t *testing.T) {
	conn := through(t, time.Millisecond, nettest.Serve(t, func(*net.TCPConn) {}))()
	if got, err := io.ReadAll(conn); err != nil || len(got) > 0 {
		t.Errorf("got %q, %v, want the end", got, err)
	}
}
