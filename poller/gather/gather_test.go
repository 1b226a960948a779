package gather_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http/httptest"
	"os"
	"runtime"
	"testing"
	"time"

	"freshet/poller/gather"
)

// pair is a connection and who is asked over it.
func pair(t *testing.T) (asks, answers net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan net.Conn, 1)
	go func() {
		if c, err := l.Accept(); err == nil {
			accepted <- c
		}
	}()
	asks, err = gather.Dial((&net.Dialer{}).DialContext)(context.Background(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	answers = <-accepted
	t.Cleanup(func() { asks.Close(); answers.Close() })
	return asks, answers
}

// What is read is what was sent, whatever the pieces, and an answer is read to its end although nothing follows.
func TestRead_IsWhatWasSent(t *testing.T) {
	t.Run("plain", func(t *testing.T) {
		asks, answers := pair(t)
		isWhatWasSent(t, asks, answers)
	})
	t.Run("TLS", func(t *testing.T) {
		other := httptest.NewTLSServer(nil) // for its certificate
		defer other.Close()
		asks, answers := pair(t)
		server := tls.Server(answers, other.TLS)
		go server.Handshake() // the client says what is wrong
		client := tls.Client(asks, &tls.Config{InsecureSkipVerify: true})
		if err := client.Handshake(); err != nil {
			t.Fatal(err)
		}
		isWhatWasSent(t, client, server)
	})
}

func isWhatWasSent(t *testing.T, asks, answers net.Conn) {
	for n := range 30 {
		want := make([]byte, rand.IntN(1<<20))
		for i := range want {
			want[i] = byte(rand.IntN(256))
		}
		if _, err := asks.Write([]byte{byte(n)}); err != nil {
			t.Fatal(err)
		}
		go func() {
			if _, err := io.ReadFull(answers, make([]byte, 1)); err != nil {
				return
			}
			for rest := want; len(rest) > 0; {
				piece := min(len(rest), 1+rand.IntN(1<<14))
				if _, err := answers.Write(rest[:piece]); err != nil {
					return
				}
				if rest = rest[piece:]; rand.IntN(20) == 0 { // a server that has something else to do, for less than a pause or for more
					time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond)
				}
			}
		}()
		got := make([]byte, len(want))
		if err := asks.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(asks, got); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("answer %d, of %d bytes, is another one: %v", n, len(want), err)
		}
	}
}

// What comes in many pieces is read in few, but for the beginning.
func TestRead_Gathers(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux gathers")
	}
	asks, answers := pair(t)
	const pieces, piece = 500, 8 << 10
	go func() {
		for range pieces {
			if _, err := answers.Write(make([]byte, piece)); err != nil {
				return
			}
			for began := time.Now(); time.Since(began) < 30*time.Microsecond; { // sleeping takes far longer
			}
		}
	}()
	reads := 0
	buffer := make([]byte, 1<<20)
	for read := 0; read < pieces*piece; reads++ {
		n, err := asks.Read(buffer)
		if err != nil {
			t.Fatal(err)
		}
		read += n
	}
	if reads > pieces/4 {
		t.Errorf("%d pieces took %d reads", pieces, reads)
	}
}

// flowing is a connection in the middle of a long answer, all of which so far has been read.
func flowing(t *testing.T) (asks, answers net.Conn) {
	t.Helper()
	asks, answers = pair(t)
	const long = 1 << 20
	go answers.Write(make([]byte, long))
	if _, err := io.ReadFull(asks, make([]byte, long)); err != nil {
		t.Fatal(err)
	}
	return asks, answers
}

// Whoever wants a read to end by a time, or now, is obeyed in the middle of a long answer too; and so is whoever changes their mind.
func TestRead_EndsAtTheDeadline(t *testing.T) {
	asks, answers := flowing(t)
	began := time.Now()
	if err := asks.SetReadDeadline(began.Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := asks.Read(make([]byte, 1)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) < 50*time.Millisecond {
		t.Fatalf("read %d bytes, %v, after %s", n, err, time.Since(began))
	}
	if err := asks.SetDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(20*time.Millisecond, func() { _ = asks.SetDeadline(time.Unix(1, 0)) })
	if n, err := asks.Read(make([]byte, 1)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("read %d bytes, %v", n, err)
	}
	if err := asks.SetDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(20*time.Millisecond, func() { _, _ = answers.Write([]byte("x")) })
	if n, err := asks.Read(make([]byte, 9)); n != 1 || err != nil {
		t.Fatalf("read %d bytes, %v", n, err)
	}
}

// Deadlines that come and go while a read waits do not make it wait for more than what there is.
func TestRead_OutlivesDeadlines(t *testing.T) {
	asks, answers := flowing(t)
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		for {
			select {
			case <-stop:
				return
			default:
				_ = asks.SetDeadline(time.Now().Add(time.Hour))
				_ = asks.SetDeadline(time.Time{})
			}
		}
	}()
	got := make(chan error, 1)
	go func() {
		_, err := io.ReadFull(asks, make([]byte, 100))
		got <- err
	}()
	for range 100 {
		if _, err := answers.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Microsecond) // so that there are many reads
	}
	select {
	case err := <-got:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("what was sent is not read")
	}
}

// An end is an end, in the middle of a long answer too.
func TestRead_Ends(t *testing.T) {
	asks, answers := flowing(t)
	time.AfterFunc(20*time.Millisecond, func() { answers.Close() })
	if n, err := asks.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("read %d bytes, %v", n, err)
	}
	asks, _ = flowing(t)
	time.AfterFunc(20*time.Millisecond, func() { asks.Close() })
	if n, err := asks.Read(make([]byte, 1)); n != 0 || !errors.Is(err, net.ErrClosed) {
		t.Errorf("read %d bytes, %v", n, err)
	}
}

// An answer that is short is read as soon as it is there, also after a long one.
func TestRead_DoesNotHoldShortAnswers(t *testing.T) {
	asks, answers := flowing(t)
	go io.Copy(answers, answers)
	const rounds, questions = 10, 40
	best := time.Hour // other programs may be in the way of a round, but not of all
	for range rounds {
		began := time.Now()
		for range questions {
			if _, err := asks.Write([]byte("?")); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(asks, make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
		}
		best = min(best, time.Since(began))
	}
	if best > questions*time.Millisecond/8 {
		t.Errorf("%d questions took %s", questions, best)
	}
}
