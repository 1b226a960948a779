package sink

import (
	"bytes"
	"crypto/tls"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"freshet/shared/exchange"
)

// cut cuts text into pieces, some of them empty.
func cut(text []byte, n int) (b Body) {
	for ; n > 1; n-- {
		at := rand.IntN(len(text) + 1)
		b, text = append(b, text[:at]), text[at:]
	}
	return append(b, text)
}

func letters(n int) []byte {
	text := make([]byte, n)
	for i := range text {
		text[i] = byte('a' + (i*i+i/251)%26)
	}
	return text
}

// However a body is cut and whatever it goes over, the other side gets its bytes, and as many as it was told.
func TestBody_ArrivesAsItIs(t *testing.T) {
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || int64(len(body)) != r.ContentLength || r.TransferEncoding != nil {
			w.WriteHeader(http.StatusBadRequest)
		}
		_, _ = w.Write(body)
	})
	plain, secure := httptest.NewServer(echo), httptest.NewUnstartedServer(echo)
	defer plain.Close()
	secure.EnableHTTP2 = true
	secure.StartTLS()
	defer secure.Close()
	proxy, err := url.Parse(plain.URL) // which answers what it is to pass on
	if err != nil {
		t.Fatal(err)
	}
	trusting := func(c *http.Transport) { c.TLSClientConfig = &tls.Config{InsecureSkipVerify: true} }
	for _, way := range []struct {
		name, to string
		prepare  func(*http.Transport)
		direct   bool
	}{
		{"direct", plain.URL, nil, true},
		{"plain", plain.URL, func(*http.Transport) {}, false},
		{"HTTP/2", secure.URL, trusting, false},
		{"TLS", secure.URL, func(c *http.Transport) {
			trusting(c)
			c.ForceAttemptHTTP2 = false
			c.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
		}, false},
		{"a proxy", "http://function.example", func(c *http.Transport) { c.Proxy = http.ProxyURL(proxy) }, false},
	} {
		t.Run(way.name, func(t *testing.T) {
			var transport http.RoundTripper
			if way.prepare != nil {
				given := newTransport(1)
				way.prepare(given)
				transport = given
			}
			c := NewClient(Config{FunctionURL: way.to, Fence: true, Timeout: 10 * time.Second}, 1, transport)
			defer c.http.CloseIdleConnections()
			if _, direct := c.http.Transport.(*direct); direct != way.direct {
				t.Fatalf("it goes by %T", c.http.Transport)
			}
			for _, size := range []int{1, 100, 3000, 4095, 4096, 5000, 33_000, 1_000_000} {
				text := letters(size)
				for n := 1; n <= 4; n++ {
					if a := c.Batch(t.Context(), "a/0/1", cut(text, n), 1); a.Outcome != exchange.Settled || !bytes.Equal(a.body, text) {
						t.Fatalf("%d bytes in %d pieces: %v %v, %d bytes came back", size, n, a.Outcome, a.Problem, len(a.body))
					}
				}
			}
		})
	}
}

// A function may answer before it has read the request, and a request may be given up. Nobody waits for the rest to be sent.
func TestBody_MayBeAnsweredEarly(t *testing.T) {
	for _, c := range []struct {
		name string
		play func(w http.ResponseWriter, r *http.Request)
		want exchange.Outcome
	}{
		{"answered early", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusRequestEntityTooLarge) }, exchange.TooLarge},
		{"answered in the middle", func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.CopyN(io.Discard, r.Body, 1<<20)
			w.WriteHeader(http.StatusServiceUnavailable)
		}, exchange.Retry},
		{"given up", func(_ http.ResponseWriter, r *http.Request) { time.Sleep(100 * time.Millisecond) }, exchange.Retry},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(c.play))
			defer server.Close()
			client := NewClient(Config{FunctionURL: server.URL, Fence: true, Timeout: 50 * time.Millisecond}, 1, nil)
			if c.want == exchange.TooLarge {
				client.timeout = 10 * time.Second
			}
			text := letters(16 << 20) // more than the buffers of both sides
			// The connection may be reset before the answer is read.
			if a := client.Batch(t.Context(), "a/0/1", Body{text[:100], text[100:]}, 1); a.Outcome != c.want && a.Outcome != exchange.Retry {
				t.Errorf("got %v %v, want %v", a.Outcome, a.Problem, c.want)
			}
		})
	}
}

// late is a transport that answers before it has read a request, and goes on to read it.
type late struct{ body io.Reader }

func (l *late) RoundTrip(r *http.Request) (*http.Response, error) {
	l.body = r.Body
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
}

// The memory of rows is used again once their batch is settled.
func TestBody_IsNotReadAfterItsAnswer(t *testing.T) {
	l := &late{}
	c := NewClient(Config{FunctionURL: "http://function", Fence: true, Timeout: time.Second}, 1, l)
	if a := c.Batch(t.Context(), "a/0/1", Body{[]byte("ab"), []byte("cd")}, 1); a.Outcome != exchange.Settled {
		t.Fatal(a.Outcome, a.Problem)
	}
	if text, err := io.ReadAll(l.body); len(text) > 0 || err != errOver {
		t.Errorf("read %q, %v", text, err)
	}
}

func TestBody_IsOverWhenItIsSaidToBe(t *testing.T) {
	request := httptest.NewRequest(http.MethodPost, "/", nil)
	s := Body{[]byte("ab"), []byte("cd")}.attach(request)
	if text, err := io.ReadAll(io.LimitReader(request.Body, 3)); string(text) != "abc" || err != nil {
		t.Errorf("read %q, %v", text, err)
	}
	again, err := request.GetBody()
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(again); string(text) != "abcd" || err != nil {
		t.Errorf("read %q, %v the second time", text, err)
	}
	again, _ = request.GetBody()
	s.over()
	for _, r := range []io.Reader{request.Body, again} {
		if n, err := r.Read(make([]byte, 8)); n != 0 || err != errOver {
			t.Errorf("read %d bytes, %v, of a request that is over", n, err)
		}
		var to strings.Builder
		if n, err := r.(io.WriterTo).WriteTo(&to); n != 0 || to.Len() != 0 || err != errOver {
			t.Errorf("wrote %d bytes, %v, of a request that is over", n, err)
		}
	}
}

func TestRecorder_WritesTheWholeBody(t *testing.T) {
	dir := t.TempDir()
	r, err := NewRecorder(dir, 3)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Record(Body{[]byte(`{"messages":[`), []byte("1,2"), []byte("]}")}); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(dir + "/batch-000000001.json"); err != nil || string(got) != `{"messages":[1,2]}` {
		t.Errorf("recorded %s, %v", got, err)
	}
}
