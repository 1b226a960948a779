// Package child starts programs that never outlive this one, whatever way it ends, and that a Ctrl-C in the terminal does not
// reach before we stop them in order.
package child

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Spec says what to start.
type Spec struct {
	Path string
	Args []string
	Env  []string // nil: ours
	Dir  string
	// Log gets what the program prints; the last of it is kept for Log in any case.
	Log io.Writer
	// Account is whom to run as; nil for ourselves.
	Account *Account
	// OnOurDeath is sent when this process dies without stopping the child (Linux only). Zero is SIGKILL.
	OnOurDeath syscall.Signal
}

// Child is a running program, or one that has ended.
type Child struct {
	cmd  *exec.Cmd
	tail Tail
	done chan struct{}
	err  error // of Wait; read after done
}

// drain is how long output may still come once the program itself is gone.
const drain = 2 * time.Second

// Start starts the program in a process group of its own.
func Start(s Spec) (*Child, error) {
	c := &Child{done: make(chan struct{})}
	c.cmd = s.command()
	var out io.Writer = &c.tail
	if s.Log != nil {
		out = io.MultiWriter(&c.tail, s.Log)
	}
	c.cmd.Stdout, c.cmd.Stderr = out, out
	if err := launch(c.cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", filepath.Base(s.Path), err)
	}
	go func() {
		c.err = c.cmd.Wait()
		close(c.done)
	}()
	return c, nil
}

// Run starts the program and waits for its end. Its output is part of the error.
func Run(ctx context.Context, s Spec) error {
	c, err := Start(s)
	if err != nil {
		return err
	}
	select {
	case <-c.done:
	case <-ctx.Done():
		c.Kill()
		return ctx.Err()
	}
	if c.err != nil {
		return fmt.Errorf("%s: %w\n%s", filepath.Base(s.Path), c.err, c.Log())
	}
	return nil
}

func (s Spec) command() *exec.Cmd {
	cmd := exec.Command(s.Path, s.Args...)
	cmd.Env, cmd.Dir, cmd.WaitDelay = s.Env, s.Dir, drain
	death := s.OnOurDeath
	if death == 0 {
		death = syscall.SIGKILL
	}
	cmd.SysProcAttr = attributes(death)
	if s.Account != nil {
		cmd.SysProcAttr.Credential = s.Account.credential()
	}
	return cmd
}

// PID is the process id.
func (c *Child) PID() int { return c.cmd.Process.Pid }

// Done is closed when the program has ended.
func (c *Child) Done() <-chan struct{} { return c.done }

// Running says whether the program has not ended yet.
func (c *Child) Running() bool {
	select {
	case <-c.done:
		return false
	default:
		return true
	}
}

// Signal sends a signal to the program. It is no error when the program has ended.
func (c *Child) Signal(s os.Signal) error {
	if err := c.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal %v to process %d: %w", s, c.PID(), err)
	}
	return nil
}

// Kill ends the program and what it started, and waits until it is gone.
func (c *Child) Kill() {
	if !c.Running() {
		return
	}
	_ = syscall.Kill(-c.PID(), syscall.SIGKILL) // it may be gone already
	<-c.done
}

// Wait waits for the program's end and returns its exit code, -1 when a signal ended it.
func (c *Child) Wait(timeout time.Duration) (code int, err error) {
	select {
	case <-c.done:
		return c.cmd.ProcessState.ExitCode(), nil
	case <-time.After(timeout):
		return 0, fmt.Errorf("%s still runs after %s", filepath.Base(c.cmd.Path), timeout)
	}
}

// Ending says how the program ended: "exit status 2", "signal: killed". It is empty while the program runs.
func (c *Child) Ending() string {
	if c.Running() {
		return ""
	}
	return c.cmd.ProcessState.String()
}

// Log is the last of what the program printed.
func (c *Child) Log() string { return c.tail.String() }
