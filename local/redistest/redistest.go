// Package redistest gives each test a Redis of its own: an empty database of a server shared by the tests that run at the same
// time, or a whole server when the test asks for special arguments.
package redistest

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"freshet/local/server"
)

// Redis is one test's own. It is empty at first.
type Redis struct {
	URL  string // with the database's number
	Addr string

	t      testing.TB
	client *redis.Client
	server *server.Redis
}

// New makes a Redis. With arguments ("--maxmemory", "1mb") it is a server of the test's own, which may be killed, flushed
// or configured; without, it is a numbered database, and only that is the test's.
func New(t testing.TB, args ...string) *Redis {
	t.Helper()
	if found, err := server.Find(); found.RedisServer == "" {
		server.Missing(t, err)
	}
	r := &Redis{t: t}
	number := 0
	if len(args) > 0 {
		r.server = private(t, args)
	} else {
		r.server, number = borrow(t)
	}
	r.Addr = r.server.Addr
	r.URL = fmt.Sprintf("%s/%d", r.server.URL, number)
	r.client = redis.NewClient(&redis.Options{Addr: r.Addr, DB: number, DisableIdentity: true})
	t.Cleanup(func() { r.client.Close() })
	return r
}

// Server is the process behind it. Only a server of the test's own may be stopped or killed.
func (r *Redis) Server() *server.Redis { return r.server }

// Client is a client of the test's database.
func (r *Redis) Client() *redis.Client { return r.client }

// Do runs a command and returns its answer; nil where Redis says nil. The test fails when Redis refuses.
func (r *Redis) Do(args ...any) any {
	r.t.Helper()
	answer, err := r.client.Do(context.Background(), args...).Result()
	if err != nil && err != redis.Nil {
		r.t.Fatalf("%v: %v", args, err)
	}
	return answer
}

// Get is a string's value; ok is false when there is none.
func (r *Redis) Get(key string) (value string, ok bool) {
	r.t.Helper()
	value, ok = r.Do("GET", key).(string)
	return value, ok
}

func private(t testing.TB, args []string) *server.Redis {
	t.Helper()
	s, err := server.StartRedis(context.Background(), server.RedisOptions{Args: args})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// databases is how many tests may share the server at a time.
const databases = 256

// shared is the server of tests without wishes. It lives from the first of them to the last that runs at the same
// time: there is no end of a test process to hook into, and a start takes a moment.
var shared struct {
	sync.Mutex
	server *server.Redis
	used   [databases]bool
	tests  int
}

func borrow(t testing.TB) (*server.Redis, int) {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil {
		s, err := server.StartRedis(context.Background(), server.RedisOptions{Args: []string{"--databases", strconv.Itoa(databases)}})
		if err != nil {
			t.Fatal(err)
		}
		shared.server = s
	}
	for number, used := range shared.used {
		if !used {
			shared.used[number] = true
			shared.tests++
			t.Cleanup(func() { giveBack(t, number) })
			return shared.server, number
		}
	}
	t.Fatalf("more than %d tests use Redis at the same time", databases)
	return nil, 0
}

func giveBack(t testing.TB, number int) {
	shared.Lock()
	defer shared.Unlock()
	shared.used[number] = false
	shared.tests--
	if shared.tests == 0 {
		if err := shared.server.Close(); err != nil {
			t.Error(err)
		}
		shared.server = nil
		return
	}
	client := redis.NewClient(&redis.Options{Addr: shared.server.Addr, DB: number, DisableIdentity: true})
	defer client.Close()
	if err := client.FlushDB(context.Background()).Err(); err != nil {
		t.Error(err)
	}
}
