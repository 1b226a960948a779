package redisstore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"github.com/redis/go-redis/v9"

	"freshet/shared/problem"
)

// go-redis would print connection trouble to stderr by itself; here it is returned to whoever asked.
func init() { redis.SetLogger(silence{}) }

type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}

// advice is what to say about an error that Redis names by its first word.
type advice struct {
	word, what, fix string
	transient       bool
}

// https://redis.io/docs/latest/develop/reference/protocol-spec/#simple-errors
var answers = []advice{
	{word: "OOM", what: "Redis is out of memory", fix: "raise maxmemory, remove keys, or shrink the values with FN_VALUE or FN_EXPIRE_MS"},
	{word: "READONLY", what: "this Redis is a read-only replica", fix: "connect to the primary; after a failover this passes when the address leads to the new one", transient: true},
	{word: "NOPERM", what: "the Redis user may not do this", fix: "allow its commands and keys: ACL SETUSER <user> +@read +@write +@scripting +@transaction +ping ~sequin:* ~freshet:* (and the keys of FN_KEY)"},
	{word: "NOAUTH", what: "Redis wants a password", fix: "put user and password into REDIS_URL, or set FN_REDIS_USERNAME and FN_REDIS_PASSWORD"},
	{word: "WRONGPASS", what: "Redis refuses the user or password", fix: "check both in REDIS_URL, or FN_REDIS_USERNAME and FN_REDIS_PASSWORD; characters such as @ / # in a URL are percent-encoded"},
	{word: "LOADING", what: "Redis is loading its data", fix: "wait until it is done", transient: true},
	{word: "BUSY", what: "Redis is busy with a script", fix: "wait, or find whose script it is and SCRIPT KILL", transient: true},
	{word: "MASTERDOWN", what: "this Redis is a replica without its primary", fix: "connect to the primary", transient: true},
	{word: "NOREPLICAS", what: "Redis accepts no writes without its replicas", fix: "bring the replicas back, or lower min-replicas-to-write", transient: true},
	{word: "MISCONF", what: "Redis accepts no writes because it cannot save to disk", fix: "look into its log; make room on its disk"},
	{word: "WRONGTYPE", what: "freshet's state in Redis is not a hash", fix: "see who else writes to keys that begin with freshet:, and DEL the wrong one"},
	{word: "MOVED", what: "this Redis is a node of a cluster", fix: "use a single Redis, or a primary with replicas"},
	{word: "CROSSSLOT", what: "this Redis is a node of a cluster", fix: "use a single Redis, or a primary with replicas"},
	{word: "CLUSTERDOWN", what: "this Redis is a node of a cluster that is down", fix: "use a single Redis, or a primary with replicas", transient: true},
}

// trouble makes a finding of any error of go-redis: the store could not do it now.
func (s *Store) trouble(err error) *problem.Error {
	text := plainText(err)
	for _, a := range answers {
		if names(text, a.word) {
			return &problem.Error{What: a.what, Why: text, Fix: a.fix, Transient: a.transient}
		}
	}
	var answered redis.Error
	switch {
	case strings.Contains(text, "AUTH") && strings.Contains(text, "without any password"):
		return &problem.Error{What: "Redis has no password, but one is set", Why: text, Fix: "remove user and password from REDIS_URL, or FN_REDIS_PASSWORD"}
	case strings.Contains(text, "max number of clients"):
		return &problem.Error{What: "Redis accepts no more connections", Why: text, Fix: "raise maxclients, or run fewer instances", Transient: true}
	case errors.As(err, &answered):
		return &problem.Error{What: "Redis refused a command", Why: text, Fix: "see what the command needs; freshet uses SET, MSET, DEL, GET, MGET, EXISTS, SCAN, HGETALL, HMGET, EVAL, WATCH, MULTI and EXEC"}
	}
	return s.broken(err)
}

// names says that an error begins with word, or has it inside the report of a script that failed, as Redis up to 6 writes it. For a
// right that a script lacks, Redis 7 has other words.
func names(text, word string) bool {
	return strings.HasPrefix(text, word+" ") || strings.Contains(text, ": -"+word+" ") ||
		word == "NOPERM" && (strings.Contains(text, "The user executing the script can't") || strings.Contains(text, "ACL failure in script"))
}

// plainText is an error without what could be data: for an unknown command Redis quotes its arguments.
func plainText(err error) string {
	text, _, _ := strings.Cut(strings.TrimPrefix(err.Error(), "failed to authenticate: "), ", with args")
	return text
}

// broken explains errors that are not an answer of Redis.
func (s *Store) broken(err error) *problem.Error {
	p := &problem.Error{What: "cannot reach Redis at " + s.addr, Why: err.Error(), Fix: "see that it runs, and that the address and the network let this process reach it", Transient: true}
	var timeout net.Error
	var untrusted *tls.CertificateVerificationError
	var notTLS tls.RecordHeaderError
	switch {
	case errors.As(err, &untrusted):
		p.What, p.Transient = "the certificate of Redis is not accepted", false
		p.Fix = "name the file of its authority in FN_REDIS_TLS_CA_FILE, and use the host name that is in the certificate"
	case errors.As(err, &notTLS):
		p.What, p.Transient = "this Redis does not speak TLS", false
		p.Fix = "write redis:// instead of rediss://, or FN_REDIS_TLS=off"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		p.What = fmt.Sprintf("Redis at %s did not answer in time", s.addr)
		p.Fix = "see what it is busy with (SLOWLOG GET); if it never answers, whether this port speaks TLS as set; the time is FN_REDIS_TIMEOUT, and FN_TIMEOUT for a whole request"
	case errors.Is(err, context.Canceled):
		p.What = "the request ended before Redis answered"
		p.Fix = ""
	case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
		p.What = fmt.Sprintf("Redis at %s closed the connection", s.addr)
		p.Fix = "see whether it was restarted; if it is always so, whether it expects TLS (rediss://)"
	}
	return p
}
