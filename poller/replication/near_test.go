package replication

import (
	"crypto/tls"
	"net"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

func TestApproach(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("round trips are known on Linux only")
	}
	for network, address := range map[string]string{"tcp": "127.0.0.1:0", "unix": filepath.Join(t.TempDir(), "socket")} {
		listener, err := net.Listen(network, address)
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		conn, err := net.Dial(network, listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		server, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		echo(t, conn, server)
		want := time.Duration(0)
		if network == "tcp" {
			want = longRest
		}
		if got := approach(conn); got != want {
			t.Errorf("%s: streams may be left alone for %s, want %s", network, got, want)
		}
		echo(t, conn, server) // it still works
		if got := approach(tls.Client(conn, &tls.Config{ServerName: "localhost"})); got != 0 {
			t.Errorf("TLS over %s: streams may be left alone for %s, want 0", network, got)
		}
	}
}

// echo gives the kernel a round trip to measure.
func echo(t *testing.T, client, server net.Conn) {
	t.Helper()
	b := make([]byte, 1)
	for _, way := range [][2]net.Conn{{client, server}, {server, client}} {
		if _, err := way[0].Write([]byte{1}); err != nil {
			t.Fatal(err)
		}
		if _, err := way[1].Read(b); err != nil {
			t.Fatal(err)
		}
	}
}
