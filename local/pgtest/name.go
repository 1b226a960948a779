package pgtest

import (
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
)

var made atomic.Int64

// uniqueName makes a name from a test's that suits a database and a slot: [a-z0-9_], at most 63. The process id keeps packages apart
// that share a server.
func uniqueName(test string) string {
	const most = 40
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToLower(strings.TrimPrefix(test, "Test")))
	return fmt.Sprintf("%s_%d_%d", name[:min(len(name), most)], os.Getpid(), made.Add(1))
}

// withDatabase is the DSN of another database of the same server.
func withDatabase(dsn, name string) (string, error) {
	u, err := url.Parse(dsn)
	if err != nil || u.Scheme == "" {
		return "", fmt.Errorf("%s is not a URL such as postgres://postgres@127.0.0.1:5432/postgres", EnvPostgres)
	}
	u.Path = "/" + name
	return u.String(), nil
}
