package bench

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func TestAnonymous(t *testing.T) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	path := filepath.Join(os.TempDir(), folder+"123")
	if _, err := w.Write([]byte("a\x10" + path + "/poller b")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	out, err := anonymous(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	r, err := gzip.NewReader(bytes.NewReader(out))
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if want := "a\x10" + string(bytes.Repeat([]byte("_"), len(path))) + "/poller b"; err != nil || string(got) != want {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
	if _, err := anonymous([]byte("no profile")); err == nil {
		t.Error("what is no profile was taken for one")
	}
}
