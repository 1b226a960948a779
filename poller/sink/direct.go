package sink

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"sync"
	"time"
)

// direct asks a function that is reached by plain HTTP and without a proxy, in the goroutine of whoever asks: the request is written by one
// system call, head and rows together, and the answer is read. net/http has two more goroutines for each connection, and each of their turns wakes a thread; for small batches
// that is most of what they cost. Answers are read by net/http.
type direct struct {
	address string // host and port
	host    string // as it is in the URL
	most    int    // connections that are kept
	other   http.RoundTripper

	mu   sync.Mutex
	idle []*link // those used last at the end
}

// newDirect answers other itself where it is needed: for TLS, proxies, and names that are not plain ASCII.
func newDirect(base string, most int, other http.RoundTripper) http.RoundTripper {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" || u.Hostname() == "" {
		return other
	}
	for _, c := range u.Host {
		if c >= 0x80 {
			return other
		}
	}
	if proxy, err := http.ProxyFromEnvironment(&http.Request{URL: u}); err != nil || proxy != nil {
		return other
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	return &direct{address: net.JoinHostPort(u.Hostname(), port), host: u.Host, most: most, other: other}
}

// RoundTrip implements http.RoundTripper. A connection that was kept, and of which nothing is heard, is one that the other side had closed meanwhile: then the request
// is sent once more, on a new one.
func (d *direct) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "http" || r.URL.Host != d.host || r.Body != nil && (r.ContentLength <= 0 || r.GetBody == nil) {
		return d.other.RoundTrip(r)
	}
	ctx := r.Context()
	if l := d.take(time.Now()); l != nil {
		response, err := d.exchange(l, r)
		if err == nil || l.heard || ctx.Err() != nil {
			return response, err
		}
		again := *r
		if r = &again; r.Body != nil {
			if r.Body, err = r.GetBody(); err != nil {
				return nil, err
			}
		}
	}
	dialer := net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second} // as http.DefaultTransport does
	conn, err := dialer.DialContext(ctx, "tcp", d.address)
	if err != nil {
		closeBody(r)
		return nil, err
	}
	l := &link{conn: conn}
	l.in = bufio.NewReader(l)
	return d.exchange(l, r)
}

// kept is how long a connection may lie idle, as for http.DefaultTransport.
const kept = 90 * time.Second

// take returns the connection that was used last, nil when there is none, and closes those that have been idle for too long.
func (d *direct) take(now time.Time) *link {
	d.mu.Lock()
	defer d.mu.Unlock()
	old := 0
	for old < len(d.idle) && now.Sub(d.idle[old].since) > kept {
		_ = d.idle[old].conn.Close()
		old++
	}
	d.idle = append(d.idle[:0], d.idle[old:]...)
	last := len(d.idle) - 1
	if last < 0 {
		return nil
	}
	l := d.idle[last]
	d.idle[last] = nil
	d.idle = d.idle[:last]
	return l
}

// keep takes a connection back whose answer has been read.
func (d *direct) keep(l *link) {
	l.since = time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.idle) == d.most {
		_ = l.conn.Close()
		return
	}
	d.idle = append(d.idle, l)
}

// CloseIdleConnections is what http.Client.CloseIdleConnections calls.
func (d *direct) CloseIdleConnections() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, l := range d.idle {
		_ = l.conn.Close()
	}
	d.idle = nil
}

// exchange sends a request and reads the head of its answer. The connection is kept once the answer's body has been read, and closed when anything is
// not as it should be.
func (d *direct) exchange(l *link, r *http.Request) (*http.Response, error) {
	defer closeBody(r)
	ctx := r.Context()
	l.until, _ = ctx.Deadline()
	_ = l.conn.SetDeadline(l.until)
	past := func() { _ = l.conn.SetDeadline(time.Unix(1, 0)) }
	stop := context.AfterFunc(ctx, past)
	l.heard, l.left = false, mostHead
	sent, err := l.send(r)
	var response *http.Response
	if err == nil || l.broken(err) { // an answer may have come all the same
		var unread error
		if response, unread = l.receive(r); err == nil {
			err = unread
		}
	}
	if response == nil {
		stop()
		_ = l.conn.Close()
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, err
	}
	response.Body = &answer{ReadCloser: response.Body, over: func(whole bool) {
		if whole = whole && sent && !response.Close && l.in.Buffered() == 0; stop() && whole {
			d.keep(l)
			return
		}
		_ = l.conn.Close()
	}}
	return response, nil
}

func closeBody(r *http.Request) {
	if r.Body != nil {
		_ = r.Body.Close()
	}
}

// link is one connection. It carries one request at a time.
type link struct {
	conn  net.Conn
	in    *bufio.Reader
	head  bytes.Buffer
	heard bool  // something of the answer has come
	left  int64 // bytes of it that may be read
	until time.Time
	since time.Time // idle
}

// mostHead is how long the head of an answer may be.
const mostHead = 1 << 20

var errHead = fmt.Errorf("the head of the answer is longer than %d bytes", mostHead)

// Read reads from the connection, for the buffered reader above it.
func (l *link) Read(to []byte) (int, error) {
	if l.left <= 0 {
		return 0, errHead
	}
	n, err := l.conn.Read(to)
	l.heard, l.left = l.heard || n > 0, l.left-int64(n)
	return n, err
}

// slice is how long sending may stand still before it is looked whether an answer has come already.
const slice = 100 * time.Millisecond

// send writes the request. It is not whole when the other side has answered before it had read it.
func (l *link) send(r *http.Request) (whole bool, err error) {
	l.spell(r)
	body, ok := r.Body.(*pieces)
	if !ok {
		body = (&sending{}).empty()
		if r.Body != nil {
			rest, err := io.ReadAll(r.Body)
			if err != nil {
				return false, err
			}
			body.left = append(body.left, rest)
		}
	}
	body.behind(l.head.Bytes())
	for {
		_ = l.conn.SetWriteDeadline(l.sooner(time.Now().Add(slice)))
		_, err := body.WriteTo(l.conn)
		switch {
		case err == nil:
			return true, nil
		case !errors.Is(err, os.ErrDeadlineExceeded) || r.Context().Err() != nil:
			return false, err
		}
		if l.answered() {
			return false, nil
		}
		if err := r.Context().Err(); err != nil {
			return false, err
		}
	}
}

// spell writes the head of a request.
func (l *link) spell(r *http.Request) {
	h := &l.head
	h.Reset()
	h.WriteString(r.Method + " " + r.URL.RequestURI() + " HTTP/1.1\r\nHost: " + r.URL.Host + "\r\nUser-Agent: Go-http-client/1.1\r\n")
	if r.Body != nil || r.Method == http.MethodPost {
		h.WriteString("Content-Length: " + strconv.FormatInt(max(r.ContentLength, 0), 10) + "\r\n")
	}
	_ = r.Header.Write(h)
	h.WriteString("\r\n")
}

// answered says whether something can be read already.
func (l *link) answered() bool {
	_ = l.conn.SetReadDeadline(l.sooner(time.Now().Add(time.Millisecond)))
	_, err := l.in.Peek(1)
	_ = l.conn.SetReadDeadline(l.until)
	return err == nil
}

// sooner is the time, or the request's deadline if that comes first.
func (l *link) sooner(than time.Time) time.Time {
	if !l.until.IsZero() && l.until.Before(than) {
		return l.until
	}
	return than
}

// broken says that the other side takes nothing more: it may have answered before.
func (l *link) broken(err error) bool {
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, errOver) {
		return false
	}
	_ = l.conn.SetReadDeadline(l.sooner(time.Now().Add(slice)))
	return true
}

// receive reads the head of the answer, which comes behind any number of those that only inform.
func (l *link) receive(r *http.Request) (*http.Response, error) {
	for {
		response, err := http.ReadResponse(l.in, r)
		if err != nil {
			return nil, err
		}
		if response.StatusCode >= http.StatusOK {
			l.left = math.MaxInt64
			return response, nil
		}
		if response.StatusCode == http.StatusSwitchingProtocols {
			return nil, errors.New("the answer is of another protocol")
		}
	}
}

// answer is the body of an answer. over is called once, with true when all of it has been read.
type answer struct {
	io.ReadCloser
	over  func(whole bool)
	ended bool
}

func (a *answer) Read(to []byte) (int, error) {
	n, err := a.ReadCloser.Read(to)
	if err != nil {
		a.end(err == io.EOF)
	}
	return n, err
}

// Close gives up what has not been read, and the connection with it.
func (a *answer) Close() error {
	a.end(false)
	return nil
}

func (a *answer) end(whole bool) {
	if !a.ended {
		a.ended = true
		a.over(whole)
	}
}
