// Package profile records how a program spends its processor time, from its start until SIGUSR1 comes. It is part of programs that are built with
// -tags profile alone: make profile makes the default.pgo of both out of it, by which the compiler then optimizes them.
// https://go.dev/doc/pgo
package profile

import (
	"fmt"
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"
)

// Env names the variable with the folder for the recording, which gets the name of the process id once it is complete.
const Env = "FRESHET_PROFILES"

// Signal ends the recording.
const Signal = syscall.SIGUSR1

// File is where the recording of a process is.
func File(dir string, pid int) string { return fmt.Sprintf("%s/%d.prof", dir, pid) }

// Record begins. A program that cannot be recorded had better not be measured.
func Record() {
	dir := os.Getenv(Env)
	if dir == "" {
		return
	}
	path := File(dir, os.Getpid())
	w, err := os.Create(path + ".part")
	if err == nil {
		err = pprof.StartCPUProfile(w)
	}
	if err != nil {
		panic(err)
	}
	enough := make(chan os.Signal, 1)
	signal.Notify(enough, Signal)
	go func() {
		<-enough
		pprof.StopCPUProfile()
		if err := w.Close(); err != nil {
			panic(err)
		}
		if err := os.Rename(path+".part", path); err != nil {
			panic(err)
		}
	}()
}
