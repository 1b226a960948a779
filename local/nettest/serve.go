// Package nettest has what tests need of a network: small servers, and certificates for larger ones.
package nettest

import (
	"net"
	"testing"
)

// Serve does this with each connection, and closes it then, until the test ends. It returns the server's address.
func Serve(t testing.TB, with func(*net.TCPConn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // the test is over
			}
			go func() {
				defer conn.Close()
				with(conn.(*net.TCPConn))
			}()
		}
	}()
	return listener.Addr().String()
}
