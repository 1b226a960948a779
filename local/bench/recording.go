package bench

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"freshet/local/bench/profile"
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
	return os.WriteFile(to, merged, 0o644)
}
