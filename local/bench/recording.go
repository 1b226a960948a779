package bench

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"time"

	"freshet/shared/profile"
)

// record has a program record how it spends its time, where that is wanted.
func (b *bench) record(env map[string]string) {
	if b.Profiles != "" {
		env[profile.Env] = b.Profiles
	}
}

// recorded ends the recordings of a turn and gives them the names of their programs.
func (t *turn) recorded() error {
	if t.b.Profiles == "" {
		return nil
	}
	for _, p := range t.processes() {
		if err := p.Signal(profile.Signal); err != nil {
			return err
		}
		file := profile.File(t.b.Profiles, p.PID())
		for end := time.Now().Add(stopTimeout); ; time.Sleep(10 * time.Millisecond) {
			if _, err := os.Stat(file); err == nil {
				break
			}
			if time.Now().After(end) {
				return fmt.Errorf("%s has not recorded anything within %s\n%s", p.Name, stopTimeout, p.Log())
			}
		}
		if err := os.Rename(file, filepath.Join(t.b.Profiles, fmt.Sprintf("%s-%d.prof", p.Name, p.PID()))); err != nil {
			return err
		}
	}
	return nil
}

// Merge makes one profile of all recordings of a program.
func Merge(ctx context.Context, dir, program, to string) error {
	files, err := filepath.Glob(filepath.Join(dir, program+"-*.prof"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("there are no recordings of %s in %s: %w", program, dir, err)
	}
	cmd := exec.CommandContext(ctx, "go", append([]string{"tool", "pprof", "-proto"}, files...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	merged, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("merge the recordings of %s: %w\n%s", program, err, stderr.Bytes())
	}
	if merged, err = anonymous(merged); err != nil {
		return fmt.Errorf("read the recordings of %s: %w", program, err)
	}
	return os.WriteFile(to, merged, 0o644)
}

// place is where a recorded program was, which a profile tells.
var place = regexp.MustCompile(regexp.QuoteMeta(filepath.Join(os.TempDir(), folder)) + `[0-9]+`)

// anonymous has a profile tell nothing of the machine. Its strings keep their lengths, which stand before them.
// https://github.com/google/pprof/blob/main/proto/profile.proto
func anonymous(profile []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(profile))
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err = w.Write(place.ReplaceAllFunc(raw, func(path []byte) []byte { return bytes.Repeat([]byte("_"), len(path)) }))
	err = errors.Join(err, w.Close())
	return b.Bytes(), err
}
