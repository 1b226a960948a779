//go:build unix && !linux

package child

import (
	"os/exec"
	"syscall"
)

// attributes cannot ask for a signal on our death here: no such thing exists outside Linux.
func attributes(syscall.Signal) *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func launch(cmd *exec.Cmd) error { return cmd.Start() }
