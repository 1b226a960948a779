package child

import (
	"os/exec"
	"runtime"
	"sync"
	"syscall"
)

// attributes has the kernel send death to the child when its parent is gone. The parent, to the kernel, is the thread that
// started it, and not the process: see PR_SET_PDEATHSIG in prctl(2).
func attributes(death syscall.Signal) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: death}
}

type order struct {
	cmd    *exec.Cmd
	answer chan error
}

// starter is the one thread that starts children. It lives as long as the process does.
var starter = sync.OnceValue(func() chan<- order {
	orders := make(chan order)
	go func() {
		runtime.LockOSThread()
		for o := range orders {
			o.answer <- o.cmd.Start()
		}
	}()
	return orders
})

func launch(cmd *exec.Cmd) error {
	answer := make(chan error)
	starter() <- order{cmd, answer}
	return <-answer
}
