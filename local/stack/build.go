package stack

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
)

// Binaries are the paths of the two programs.
type Binaries struct{ Poller, Fn string }

// Build compiles both programs into dir, with the race detector when race is set. It works from anywhere inside the module.
func Build(ctx context.Context, dir string, race bool) (Binaries, error) {
	args := []string{"build", "-tags", "lambda.norpc", "-o", dir + string(filepath.Separator)}
	if race {
		args = append(args, "-race")
	}
	cmd := exec.CommandContext(ctx, "go", append(args, "freshet/poller/cmd/poller", "freshet/functions/cmd/fn")...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return Binaries{}, fmt.Errorf("build both programs: %w\n%s", err, out)
	}
	return Binaries{Poller: filepath.Join(dir, "poller"), Fn: filepath.Join(dir, "fn")}, nil
}
