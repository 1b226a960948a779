package stack

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
)

// Binaries are the paths of the two programs.
type Binaries struct{ Poller, Fn string }

// How is how the programs are built. The zero value is how they are built soonest.
type How int

// The others.
const (
	Quick    How = iota
	Race         // with the race detector
	Released     // as they are released: optimized by their profiles, which takes a minute
	Recorded     // to make such a profile
)

// arguments are for go build.
var arguments = map[How][]string{Quick: {"-pgo=off"}, Race: {"-pgo=off", "-race"}, Released: nil, Recorded: {"-pgo=off", "-trimpath", "-tags", "lambda.norpc,profile"}}

// Build compiles both programs into dir. It works from anywhere inside the module.
func Build(ctx context.Context, dir string, how How) (Binaries, error) {
	args := append([]string{"build", "-tags", "lambda.norpc", "-o", dir + string(filepath.Separator)}, arguments[how]...)
	cmd := exec.CommandContext(ctx, "go", append(args, "freshet/poller/cmd/poller", "freshet/functions/cmd/fn")...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return Binaries{}, fmt.Errorf("build both programs: %w\n%s", err, out)
	}
	return Binaries{Poller: filepath.Join(dir, "poller"), Fn: filepath.Join(dir, "fn")}, nil
}
