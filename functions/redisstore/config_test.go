package redisstore_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"freshet/functions/redisstore"
	"freshet/local/nettest"
	"freshet/local/redistest"
)

func TestConfig_SaysWhatIsWrong(t *testing.T) {
	parts := redisstore.Config{RedisHost: "redis", RedisPort: 6379, RedisTimeout: time.Second}
	url := redisstore.Config{RedisURL: "redis://u:hunter2@redis/1", RedisPort: 6379, RedisTimeout: time.Second}
	for _, c := range []struct {
		name   string
		config redisstore.Config
		change func(*redisstore.Config)
		want   string // empty: nothing is wrong
	}{
		{"parts", parts, func(c *redisstore.Config) { c.RedisTLS = true; c.RedisPassword = "x" }, ""},
		{"IPv6", parts, func(c *redisstore.Config) { c.RedisHost = "::1" }, ""},
		{"URL", url, func(c *redisstore.Config) {}, ""},
		{"URL with TLS", url, func(c *redisstore.Config) { c.RedisURL = "rediss://redis:6380" }, ""},
		{"neither", parts, func(c *redisstore.Config) { c.RedisHost = "" }, "no Redis is given"},
		{"both", url, func(c *redisstore.Config) { c.RedisHost = "redis" }, "parts of an address are too"},
		{"URL and password", url, func(c *redisstore.Config) { c.RedisPassword = "x" }, "parts of an address are too"},
		{"another scheme", url, func(c *redisstore.Config) { c.RedisURL = "http://u:hunter2@redis" }, "neither redis:// nor rediss://"},
		{"no URL", url, func(c *redisstore.Config) { c.RedisURL = "redis://u:hunter2@redis:port" }, "not a URL"},
		{"unknown option", url, func(c *redisstore.Config) { c.RedisURL += "?hunter2=1" }, "not a URL"},
		{"no verification", url, func(c *redisstore.Config) { c.RedisURL = "rediss://redis?skip_verify=true" }, "FN_REDIS_TLS_CA_FILE"},
		{"host with port", parts, func(c *redisstore.Config) { c.RedisHost = "redis:6379" }, "not a host alone"},
		{"host with user", parts, func(c *redisstore.Config) { c.RedisHost = "hunter2@redis" }, "not a host alone"},
		{"port", parts, func(c *redisstore.Config) { c.RedisPort = 0 }, "FN_REDIS_PORT is 0"},
		{"database", parts, func(c *redisstore.Config) { c.RedisDatabase = -1 }, "FN_REDIS_DATABASE is -1"},
		{"timeout", parts, func(c *redisstore.Config) { c.RedisTimeout = 0 }, "FN_REDIS_TIMEOUT is 0s"},
		{"certificates without TLS", parts, func(c *redisstore.Config) { c.RedisTLSCaFile = "ca.pem" }, "TLS is off"},
		{"no such file", parts, func(c *redisstore.Config) { c.RedisTLS = true; c.RedisTLSCaFile = "no.pem" }, "cannot be read"},
		{"no certificate", parts, func(c *redisstore.Config) { c.RedisTLS = true; c.RedisTLSCaFile = "config_test.go" }, "holds no certificate"},
		{"half a pair", parts, func(c *redisstore.Config) { c.RedisTLS = true; c.RedisTLSKeyFile = "no.pem" }, "client certificate"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.change(&c.config)
			found := c.config.Validate()
			if c.want == "" && len(found) > 0 || c.want != "" && (len(found) != 1 || !strings.Contains(found.Error(), c.want)) {
				t.Errorf("got %v, want one finding with %q", found, c.want)
			}
			if strings.Contains(found.Error(), "hunter2") {
				t.Errorf("a secret in %v", found)
			}
		})
	}
}

func TestStore_TLS(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := nettest.SelfSigned(t, dir)
	port := freePort(t)
	// The server's own port stays plain, for the test itself.
	plain := redistest.New(t, "--tls-port", port, "--tls-cert-file", certFile, "--tls-key-file", keyFile, "--tls-ca-cert-file", certFile)
	c := redisstore.Config{RedisHost: "localhost", RedisTLS: true, RedisTimeout: 5 * time.Second, RedisTLSCaFile: certFile, RedisTLSCertFile: certFile, RedisTLSKeyFile: keyFile}
	fmt.Sscan(port, &c.RedisPort)
	ready := func(edit func(*redisstore.Config)) error {
		c := c
		edit(&c)
		s, err := redisstore.New(c)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		return s.Ready(context.Background())
	}
	if err := ready(func(*redisstore.Config) {}); err != nil {
		t.Fatal(err)
	}
	if _, there := plain.Get("freshet:probe"); !there {
		t.Error("nothing was written")
	}
	wantTrouble(t, ready(func(c *redisstore.Config) { c.RedisTLSCaFile = "" }), "certificate of Redis is not accepted")
	wantTrouble(t, ready(func(c *redisstore.Config) { c.RedisHost = "127.0.0.1" }), "certificate of Redis is not accepted")
	if err := ready(func(c *redisstore.Config) { c.RedisTLSCertFile, c.RedisTLSKeyFile = "", "" }); err == nil {
		t.Error("accepted without the client certificate that the server asks for")
	}
}

func freePort(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
}
