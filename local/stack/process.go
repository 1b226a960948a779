package stack

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"freshet/local/server"
	"freshet/local/server/child"
)

// Process is one of our programs, running or ended.
type Process struct {
	Name string
	*child.Child
}

// Start starts a program with only PATH, HOME and TMPDIR of our environment, and env. Its output goes to log, if there is one,
// and its end is kept. When ctx ends the program is killed; whoever wants it to stop in order sends a signal first.
func Start(ctx context.Context, name, bin string, env map[string]string, log io.Writer, args ...string) (*Process, error) {
	c, err := child.Start(child.Spec{Path: bin, Args: args, Env: environment(env), Log: log})
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, c.Kill)
	go func() {
		<-c.Done()
		stop()
	}()
	return &Process{Name: name, Child: c}, nil
}

func environment(env map[string]string) (all []string) {
	for _, name := range []string{"PATH", "HOME", "TMPDIR"} {
		if value, set := os.LookupEnv(name); set {
			all = append(all, name+"="+value)
		}
	}
	for name, value := range env {
		all = append(all, name+"="+value)
	}
	return all
}

// FreePort is a port of 127.0.0.1 on which nothing listens.
func FreePort() int {
	port, err := server.FreePort()
	if err != nil {
		panic(err) // thousands of ports are taken
	}
	return port
}

// WaitReady waits until a GET of url answers 200.
func WaitReady(ctx context.Context, url string) error {
	const pause = 20 * time.Millisecond
	client := http.Client{Timeout: 5 * time.Second}
	for {
		err := ready(ctx, &client, url)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", url, err)
		case <-time.After(pause):
		}
	}
}

func ready(ctx context.Context, client *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 1<<10))
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("it answers %s: %s", answer.Status, body)
	}
	return err
}
