package redisstore_test

import (
	"context"
	"testing"

	"freshet/functions/redisstore"
	"freshet/functions/storetest"
	"freshet/local/redistest"
	"freshet/shared/config"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Backend { return backend(t, redistest.New(t)) })
}

func backend(t testing.TB, r *redistest.Redis) storetest.Backend {
	ctx := context.Background()
	return storetest.Backend{
		Store:  newStore(t, r.URL),
		Get:    r.Get,
		Set:    func(key, value string) { r.Do("SET", key, value) },
		Occupy: func(key string) { r.Do("RPUSH", key, "x") },
		Flush:  func() { r.Client().FlushDB(ctx) },
	}
}

func settings(url string) redisstore.Config {
	return redisstore.Config{RedisURL: config.Secret(url), RedisPort: 6379, RedisTimeout: 5e9}
}

func newStore(t testing.TB, url string) *redisstore.Store {
	t.Helper()
	s, err := redisstore.New(settings(url))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}
