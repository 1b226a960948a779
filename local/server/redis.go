package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"freshet/local/server/child"
	"freshet/shared/problem"
)

// RedisOptions says what Redis to run.
type RedisOptions struct {
	Dir  string   // working directory; "" makes one that Close removes
	Args []string // on top of ours, such as "--maxmemory", "1mb"; without any, nothing is kept on disk
	Port int      // 0 finds a free one
}

// Redis is a throw-away server.
type Redis struct {
	Addr, URL string
	Port      int
	Dir       string

	program string
	args    []string
	process *child.Child
	scratch *Scratch // nil when Dir is the caller's
}

// StartRedis starts a server on 127.0.0.1. It returns when the server answers.
func StartRedis(ctx context.Context, o RedisOptions) (*Redis, error) {
	r := &Redis{Dir: o.Dir, Port: o.Port, args: o.Args, program: firstProgram(redisPrograms)}
	if r.program == "" {
		return nil, &problem.Error{What: "there is no Redis server on this machine", Fix: byHand()}
	}
	if r.Dir == "" {
		var err error
		if r.scratch, err = NewScratch(); err != nil {
			return nil, err
		}
		r.Dir = r.scratch.Path
	}
	if err := r.startOnFreePort(ctx); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// startOnFreePort tries again when another program took the port between our finding and Redis' using it.
func (r *Redis) startOnFreePort(ctx context.Context) (err error) {
	if r.Port != 0 {
		r.address()
		return r.Start(ctx)
	}
	const attempts = 3
	for range attempts {
		if r.Port, err = FreePort(); err != nil {
			return err
		}
		r.address()
		if err = r.Start(ctx); err == nil || !strings.Contains(err.Error(), "in use") {
			return err
		}
	}
	return err
}

func (r *Redis) address() {
	r.Addr = address(r.Port)
	r.URL = "redis://" + r.Addr
}

// Start starts the server again after Stop or Kill: same port, directory and arguments.
func (r *Redis) Start(ctx context.Context) error {
	if r.Running() {
		return nil
	}
	ours := []string{"--bind", "127.0.0.1", "--port", strconv.Itoa(r.Port), "--dir", r.Dir, "--save", "", "--appendonly", "no"}
	process, err := child.Start(child.Spec{Path: r.program, Args: append(ours, r.args...), Env: os.Environ(), Dir: r.Dir})
	if err != nil {
		return err
	}
	r.process = process
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := until(ctx, process, r.ping); err != nil {
		process.Kill()
		return fmt.Errorf("start Redis on port %d: %w\n%s", r.Port, err, process.Log())
	}
	return nil
}

// ping wants any answer but that the data is being loaded: a server that asks for a password is up.
func (r *Redis) ping(ctx context.Context) error {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", r.Addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return err
	}
	answer, err := bufio.NewReader(conn).ReadString('\n')
	if err == nil && strings.HasPrefix(answer, "-LOADING") {
		return errors.New("it is loading its data")
	}
	return err
}

// Running says whether the server's process is there.
func (r *Redis) Running() bool { return r.process != nil && r.process.Running() }

// Signal sends a signal to the server, such as SIGSTOP to have it answer nobody.
func (r *Redis) Signal(s os.Signal) error {
	if !r.Running() {
		return nil
	}
	return r.process.Signal(s)
}

// Log is the end of the server's log.
func (r *Redis) Log() string {
	if r.process == nil {
		return ""
	}
	return r.process.Log()
}

// Stop shuts the server down in order. The directory stays.
func (r *Redis) Stop() error {
	if !r.Running() {
		return nil
	}
	if err := r.process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	if _, err := r.process.Wait(stopTimeout); err != nil {
		return fmt.Errorf("stop Redis: %w", err)
	}
	return nil
}

// Kill is a crash of the server. The directory stays.
func (r *Redis) Kill() {
	if r.process != nil {
		r.process.Kill()
	}
}

// Close kills the server and removes its directory if StartRedis made it.
func (r *Redis) Close() error {
	r.Kill()
	if r.scratch != nil {
		return r.scratch.Remove()
	}
	return nil
}
