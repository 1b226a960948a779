package server

import (
	"context"
	_ "embed"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"freshet/shared/problem"
)

// debianScript installs packages without starting what is in them.
//
//go:embed install.sh
var debianScript string

// tools are the programs that come with the server and that the tests, the benchmark and make psql use.
var tools = []string{"psql", "pgbench", "pg_recvlogical"}

// installer is a package manager that we can use without asking.
type installer struct {
	name            string
	postgres, redis string // its packages
	install         func(ctx context.Context, out io.Writer, packages []string) error
}

// Ensure installs what Find misses, saying what. When it cannot, the error has the commands to run by hand.
func Ensure(ctx context.Context, out io.Writer) error {
	found, missing := Find()
	wanted := found.wanted()
	if len(wanted) == 0 {
		return nil
	}
	if os.Getenv(EnvPostgresBin) != "" && found.PostgresBin == "" {
		return missing // what the user points to is not ours to mend
	}
	manager, ok := packageManager()
	if !ok {
		return &problem.Error{What: "cannot install " + strings.Join(wanted, ", "), Why: "that needs apt-get with root or sudo, or brew", Fix: byHand()}
	}
	packages := manager.packages(found)
	fmt.Fprintf(out, "%s: missing on this machine; installing %s with %s\n", strings.Join(wanted, ", "), strings.Join(packages, ", "), manager.name)
	if err := manager.install(ctx, out, packages); err != nil {
		return &problem.Error{What: manager.name + " could not install " + strings.Join(packages, ", "), Why: err.Error(), Fix: byHand()}
	}
	_, missing = Find()
	return missing
}

// wanted names what is missing, for people.
func (f Found) wanted() []string {
	names := f.wantedOfPostgres()
	if f.RedisServer == "" {
		names = append(names, "Redis")
	}
	return names
}

func (f Found) wantedOfPostgres() (names []string) {
	if f.PostgresBin == "" {
		return []string{fmt.Sprintf("Postgres %d or newer", LeastPostgres)}
	}
	for _, name := range tools {
		if f.Tool(name) == "" {
			names = append(names, name)
		}
	}
	return names
}

func (m installer) packages(f Found) (names []string) {
	if len(f.wantedOfPostgres()) > 0 {
		names = append(names, m.postgres)
	}
	if f.RedisServer == "" {
		names = append(names, m.redis)
	}
	return names
}

func packageManager() (installer, bool) {
	if has("brew") && runtime.GOOS == "darwin" {
		return installer{name: "brew", postgres: "postgresql@17", redis: "redis", install: brew}, true
	}
	if has("apt-get") && (os.Geteuid() == 0 || has("sudo")) {
		return installer{name: "apt-get", postgres: "postgresql", redis: "redis-server", install: aptGet}, true
	}
	return installer{}, false
}

func has(program string) bool {
	_, err := exec.LookPath(program)
	return err == nil
}

func brew(ctx context.Context, out io.Writer, packages []string) error {
	return show(exec.CommandContext(ctx, "brew", append([]string{"install"}, packages...)...), out)
}

func aptGet(ctx context.Context, out io.Writer, packages []string) error {
	args := append([]string{"sh", "-c", debianScript, "install.sh"}, packages...)
	if os.Geteuid() != 0 {
		args = append([]string{"sudo"}, args...)
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it has things to put back
	return show(cmd, out)
}

func show(cmd *exec.Cmd, out io.Writer) error {
	cmd.Stdout, cmd.Stderr = out, out
	return cmd.Run()
}

// byHand is the way to get both servers for someone who may do more than we.
func byHand() string {
	switch {
	case runtime.GOOS == "darwin":
		return "brew install postgresql@17 redis"
	case has("apt-get"):
		return "sudo apt-get install postgresql redis-server"
	case has("dnf"):
		return "sudo dnf install postgresql-server postgresql-contrib redis"
	case has("apk"):
		return "sudo apk add postgresql17 postgresql17-client postgresql17-contrib redis"
	case has("pacman"):
		return "sudo pacman -S postgresql valkey"
	}
	return fmt.Sprintf("install Postgres (%d or newer, server and contrib programs) and Redis; point %s to Postgres' bin folder if it is in an unusual place", LeastPostgres, EnvPostgresBin)
}
