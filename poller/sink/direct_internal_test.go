package sink

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"freshet/shared/exchange"
)

// script is a server that plays a part for each connection, with the number of the connection.
type script struct {
	url         string
	connections atomic.Int32
}

// play begins a server. The connection is closed when the part ends.
func play(t *testing.T, part func(connection int, in *bufio.Reader, out net.Conn)) *script {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	s := &script{url: "http://" + listener.Addr().String()}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			n := int(s.connections.Add(1))
			go func() {
				defer conn.Close()
				part(n, bufio.NewReader(conn), conn)
			}()
		}
	}()
	return s
}

// heard reads a request with its body; false when there is no other.
func heard(in *bufio.Reader) bool {
	r, err := http.ReadRequest(in)
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, r.Body)
	return err == nil
}

func ask(t *testing.T, s *script, timeout time.Duration) *Client {
	t.Helper()
	c := NewClient(Config{FunctionURL: s.url, Fence: true, Timeout: timeout}, 1, nil)
	if _, ok := c.http.Transport.(*direct); !ok {
		t.Fatalf("it goes by %T", c.http.Transport)
	}
	return c
}

func post1(c *Client) Answer {
	return c.Batch(context.Background(), "a/0/1", Body{[]byte(`{"messages":[`), letters(100), []byte("]}")}, 1)
}

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"

// A connection carries one request after the other, as long as both sides want it, whatever form the answers have.
func TestDirect_KeepsConnections(t *testing.T) {
	for _, c := range []struct {
		name, answer string
		connections  int32
	}{
		{"a length", ok, 1},
		{"chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n", 1},
		{"nothing", "HTTP/1.1 204 No Content\r\n\r\n", 1},
		{"what only informs, before", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + ok, 1},
		{"the last of this connection", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}", 3},
		{"an old protocol", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", 3},
		{"more than an answer", ok + "x", 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := play(t, func(_ int, in *bufio.Reader, out net.Conn) {
				for heard(in) {
					_, _ = io.WriteString(out, c.answer)
				}
			})
			client := ask(t, s, 5*time.Second)
			for range 3 {
				if a := post1(client); a.Outcome != exchange.Settled {
					t.Fatal(a.Outcome, a.Problem)
				}
			}
			if n := s.connections.Load(); n != c.connections {
				t.Errorf("%d connections for 3 requests, want %d", n, c.connections)
			}
		})
	}
}

// What the other side has closed meanwhile is noticed when it is used, and costs nobody an attempt.
func TestDirect_AConnectionClosedMeanwhile(t *testing.T) {
	s := play(t, func(_ int, in *bufio.Reader, out net.Conn) {
		if heard(in) {
			_, _ = io.WriteString(out, ok)
		}
	})
	client := ask(t, s, 5*time.Second)
	for range 3 {
		if a := post1(client); a.Outcome != exchange.Settled {
			t.Fatal(a.Outcome, a.Problem)
		}
		time.Sleep(5 * time.Millisecond) // until it is closed
	}
	if n := s.connections.Load(); n != 3 {
		t.Errorf("%d connections, want 3", n)
	}
}

// A request that a new connection breaks off is not sent again from here, nor one whose answer had begun.
func TestDirect_SendsNothingTwiceThatMayHaveArrived(t *testing.T) {
	for _, c := range []struct {
		name  string
		first bool // the connection breaks with its first request
		part  string
		want  int32
	}{{"a new connection", true, "", 1}, {"in the middle of an answer", false, "HTTP/1.1 200 O", 1}, {"in the middle of its body", false, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", 1}} {
		t.Run(c.name, func(t *testing.T) {
			s := play(t, func(_ int, in *bufio.Reader, out net.Conn) {
				if !c.first && heard(in) {
					_, _ = io.WriteString(out, ok)
				}
				if heard(in) {
					_, _ = io.WriteString(out, c.part)
				}
			})
			client := ask(t, s, 5*time.Second)
			if !c.first {
				post1(client)
			}
			if a := post1(client); a.Outcome != exchange.Retry || a.Problem.Why == "" {
				t.Error(a.Outcome, a.Problem)
			}
			if n := s.connections.Load(); n != c.want {
				t.Errorf("%d connections, want %d", n, c.want)
			}
		})
	}
}

// Nobody waits for a body to be sent that the function does not want, even if it keeps the connection open.
func TestDirect_AnAnswerBeforeTheRequestWasRead(t *testing.T) {
	stay := make(chan struct{})
	defer close(stay)
	s := play(t, func(_ int, in *bufio.Reader, out net.Conn) {
		if _, err := http.ReadRequest(in); err == nil {
			_, _ = io.WriteString(out, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
			<-stay
		}
	})
	client := ask(t, s, 20*time.Second)
	for range 2 {
		began := time.Now()
		if a := client.Batch(t.Context(), "a/0/1", Body{letters(32 << 20)}, 1); a.Outcome != exchange.TooLarge {
			t.Error(a.Outcome, a.Problem)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("it took %s", took)
		}
	}
	if n := s.connections.Load(); n != 2 {
		t.Errorf("%d connections, want 2: half a request is in the first", n)
	}
}

func TestDirect_ASlowReaderGetsTheWholeBody(t *testing.T) {
	const size = 24 << 20
	s := play(t, func(_ int, in *bufio.Reader, out net.Conn) {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		time.Sleep(3 * slice) // the sender stands still meanwhile
		got, err := io.ReadAll(r.Body)
		if err == nil && string(got) == string(letters(size)) {
			_, _ = io.WriteString(out, ok)
		}
	})
	if a := ask(t, s, 20*time.Second).Batch(t.Context(), "a/0/1", Body{letters(size)}, 1); a.Outcome != exchange.Settled {
		t.Error(a.Outcome, a.Problem)
	}
}

// A request ends with its context, in whatever state it is.
func TestDirect_EndsInTime(t *testing.T) {
	for name, part := range map[string]func(in *bufio.Reader, out net.Conn){
		"nobody reads":   func(in *bufio.Reader, out net.Conn) {},
		"nobody answers": func(in *bufio.Reader, out net.Conn) { heard(in) },
		"half a head":    func(in *bufio.Reader, out net.Conn) { heard(in); _, _ = io.WriteString(out, "HTTP/1.1 200 OK\r\n") },
		"half an answer": func(in *bufio.Reader, out net.Conn) { heard(in); _, _ = io.WriteString(out, ok[:len(ok)-1]) },
		"endless small talk": func(in *bufio.Reader, out net.Conn) {
			heard(in)
			for {
				if _, err := io.WriteString(out, "HTTP/1.1 103 Early Hints\r\n\r\n"); err != nil {
					return
				}
				time.Sleep(time.Millisecond)
			}
		},
	} {
		for _, cancelled := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				stay := make(chan struct{})
				defer close(stay)
				s := play(t, func(_ int, in *bufio.Reader, out net.Conn) {
					part(in, out)
					<-stay
				})
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				client := ask(t, s, 100*time.Millisecond)
				if cancelled {
					client.timeout = time.Minute
					time.AfterFunc(100*time.Millisecond, cancel)
				}
				began := time.Now()
				a := client.Batch(ctx, "a/0/1", Body{letters(32 << 20)}, 1)
				if took := time.Since(began); a.Outcome != exchange.Retry || took < 90*time.Millisecond || took > 5*time.Second {
					t.Errorf("%v after %s: %v", a.Outcome, took, a.Problem)
				}
				if want := map[bool]string{false: "no answer within", true: "given up"}[cancelled]; !strings.Contains(a.Problem.Why, want) {
					t.Errorf("it says %q, want %q", a.Problem.Why, want)
				}
			})
		}
	}
}

func TestDirect_AnEndlessHead(t *testing.T) {
	s := play(t, func(_ int, in *bufio.Reader, out net.Conn) {
		heard(in)
		_, _ = io.WriteString(out, "HTTP/1.1 200 OK\r\n")
		for {
			if _, err := io.WriteString(out, "X: "+strings.Repeat("x", 1000)+"\r\n"); err != nil {
				return
			}
		}
	})
	if a := post1(ask(t, s, 20*time.Second)); a.Outcome != exchange.Retry || !strings.Contains(a.Problem.Why, "head of the answer is longer") {
		t.Error(a.Outcome, a.Problem)
	}
}

// What it cannot do goes by net/http.
func TestDirect_LeavesTheRestToOthers(t *testing.T) {
	other := errors.New("other")
	through := roundTripper(func(*http.Request) (*http.Response, error) { return nil, other })
	for _, base := range []string{"https://function", "http://f\u00fcnktion", "http:///v1", "::"} {
		if _, ok := newDirect(base, 1, through).(*direct); ok {
			t.Errorf("%s is asked directly", base)
		}
	}
	d := newDirect("http://function.example", 1, through).(*direct)
	if d.address != "function.example:80" || newDirect("http://[::1]:8080", 1, through).(*direct).address != "[::1]:8080" {
		t.Errorf("the address is %s", d.address)
	}
	for _, to := range []string{"https://function.example", "http://elsewhere"} {
		r, err := http.NewRequest(http.MethodGet, to, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.RoundTrip(r); err != other {
			t.Errorf("%s: %v", to, err)
		}
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A connection that has been idle for long is not trusted, and not kept for ever.
func TestDirect_ForgetsIdleConnections(t *testing.T) {
	s := play(t, func(_ int, in *bufio.Reader, out net.Conn) {
		for heard(in) {
			_, _ = io.WriteString(out, ok)
		}
	})
	client := ask(t, s, 5*time.Second)
	post1(client)
	d := client.http.Transport.(*direct)
	if l := d.take(time.Now().Add(kept + time.Second)); l != nil || len(d.idle) != 0 {
		t.Errorf("%v is left, and %d others", l, len(d.idle))
	}
	if a := post1(client); a.Outcome != exchange.Settled || s.connections.Load() != 2 {
		t.Error(a.Outcome, s.connections.Load())
	}
}
