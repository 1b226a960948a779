package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"freshet/local/race"
	"freshet/local/server"
	"freshet/local/stack"
)

// secret is the password of every URL the programs are given. It must not be seen in anything they print or answer.
const secret = "hush-do-not-print-me"

// redisDatabases is how many tests can have a Redis of their own; each takes a numbered database of the one server.
const redisDatabases = 200

// world is what all tests of this process share.
var world struct {
	dir       string
	postgres  *server.Postgres
	redis     *server.Redis
	failed    error // of starting the servers
	databases atomic.Int32
	programs  func() (stack.Binaries, error)
}

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "freshet-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	world.dir = dir
	world.programs = sync.OnceValues(func() (stack.Binaries, error) {
		how := stack.Quick
		if race.Enabled {
			how = stack.Race
		}
		return stack.Build(context.Background(), dir, how)
	})
	world.failed = startServers(context.Background())
	code := m.Run()
	if err := stopServers(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	return code
}

// startServers starts Postgres with a short wal_sender_timeout, so that a poller that falls silent is thrown out within a test.
func startServers(ctx context.Context) (err error) {
	world.postgres, err = server.StartPostgres(ctx, server.PostgresOptions{
		Settings: map[string]string{"wal_sender_timeout": "6s", "max_connections": "200"},
	})
	if err != nil {
		return err
	}
	world.redis, err = server.StartRedis(ctx, server.RedisOptions{Args: []string{"--databases", strconv.Itoa(redisDatabases)}})
	if err != nil {
		return err
	}
	return addUsers(ctx)
}

// addUsers makes the accounts of the programs: one that may do all, and one that may only say who it is.
func addUsers(ctx context.Context) error {
	client := redis.NewClient(&redis.Options{Addr: world.redis.Addr})
	defer client.Close()
	able := client.Do(ctx, "ACL", "SETUSER", "freshet", "on", ">"+secret, "~*", "&*", "+@all")
	powerless := client.Do(ctx, "ACL", "SETUSER", "powerless", "on", ">"+secret, "-@all", "+@connection")
	return errors.Join(able.Err(), powerless.Err())
}

func stopServers() (err error) {
	if world.redis != nil {
		err = errors.Join(err, world.redis.Close())
	}
	if world.postgres != nil {
		err = errors.Join(err, world.postgres.Close())
	}
	return err
}

// needServers skips a test where there are no servers to be had; where everything must run, that is a failure.
func needServers(t *testing.T) {
	t.Helper()
	if _, err := server.Find(); err != nil {
		server.Missing(t, err)
	}
	if world.failed != nil {
		t.Fatal(world.failed)
	}
}
