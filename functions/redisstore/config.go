package redisstore

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"freshet/shared/config"
	"freshet/shared/problem"
)

// Config says which Redis: a URL, or its parts.
type Config struct {
	RedisURL      config.Secret `split_words:"true" bare:"true" desc:"The Redis to write to: redis://user:password@host:6379/0, or rediss:// for TLS. Or set FN_REDIS_HOST and the other parts."`
	RedisHost     string        `split_words:"true" desc:"Host of the Redis, where REDIS_URL is not set."`
	RedisPort     int           `split_words:"true" default:"6379" desc:"Port of the Redis."`
	RedisUsername string        `split_words:"true" desc:"User of the Redis, where it has users."`
	RedisPassword config.Secret `split_words:"true" desc:"Password of the Redis, where it has one."`
	RedisDatabase int           `split_words:"true" default:"0" desc:"Number of the database in the Redis."`
	RedisTLS      config.Switch `split_words:"true" default:"off" desc:"Speak TLS to FN_REDIS_HOST; the certificate is always verified."`
	// The words are split at capitals: CA would run into TLS.
	RedisTLSCaFile   string        `split_words:"true" desc:"File with the certificates (PEM) that sign the Redis' own, where the system does not know them."`
	RedisTLSCertFile string        `split_words:"true" desc:"File with the client certificate (PEM), where the Redis asks for one."`
	RedisTLSKeyFile  string        `split_words:"true" desc:"File with the key (PEM) of the client certificate."`
	RedisTimeout     time.Duration `split_words:"true" default:"5s" desc:"Longest that connecting, or the answer to one command, may take."`
	Letters
}

// Validate reports everything that would keep the settings from working.
func (c Config) Validate() problem.List {
	_, found := c.options()
	return found
}

// options are the settings as go-redis wants them.
func (c Config) options() (*redis.Options, problem.List) {
	o, found := c.address()
	found = append(found, c.encrypt(o)...)
	if c.RedisTimeout <= 0 {
		found = append(found, &problem.Error{What: "FN_REDIS_TIMEOUT is " + c.RedisTimeout.String(), Why: "nothing can be done in no time", Fix: "FN_REDIS_TIMEOUT=5s"})
	}
	// A command that failed is not sent again from here, where it could overtake a newer one: the poller repeats the whole batch.
	o.MaxRetries, o.DialerRetries = -1, 1
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout = c.RedisTimeout, c.RedisTimeout, c.RedisTimeout
	o.ContextTimeoutEnabled = true
	// Neither CLIENT SETINFO nor notifications of cloud vendors: a user with few rights may not ask for them.
	o.DisableIdentity = true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return o, found
}

func (c Config) address() (*redis.Options, problem.List) {
	parts := c.RedisHost != "" || c.RedisUsername != "" || c.RedisPassword != "" || c.RedisPort != 6379 || c.RedisDatabase != 0 || bool(c.RedisTLS)
	switch {
	case c.RedisURL != "" && parts:
		return &redis.Options{}, problem.List{{
			What: "REDIS_URL is set, and parts of an address are too", Why: "they may name different servers",
			Fix: "keep REDIS_URL, or FN_REDIS_HOST, _PORT, _USERNAME, _PASSWORD, _DATABASE and _TLS",
		}}
	case c.RedisURL != "":
		return c.fromURL()
	case c.RedisHost == "":
		return &redis.Options{}, problem.List{{
			What: "no Redis is given", Why: "neither REDIS_URL nor FN_REDIS_HOST is set",
			Fix: "REDIS_URL=redis://localhost:6379/0",
		}}
	}
	o := &redis.Options{
		Addr:     net.JoinHostPort(c.RedisHost, strconv.Itoa(c.RedisPort)),
		Username: c.RedisUsername, Password: c.RedisPassword.Reveal(), DB: c.RedisDatabase,
	}
	if c.RedisTLS {
		o.TLSConfig = &tls.Config{ServerName: c.RedisHost}
	}
	return o, c.wrongParts()
}

func (c Config) wrongParts() (found problem.List) {
	if strings.ContainsAny(c.RedisHost, "/@ ") || strings.Count(c.RedisHost, ":") == 1 {
		found = append(found, &problem.Error{What: "FN_REDIS_HOST is not a host alone", Fix: "use REDIS_URL for a URL; a port goes into FN_REDIS_PORT"})
	}
	if c.RedisPort < 1 || c.RedisPort > 65535 {
		found = append(found, &problem.Error{What: fmt.Sprintf("FN_REDIS_PORT is %d", c.RedisPort), Why: "ports are 1 to 65535", Fix: "FN_REDIS_PORT=6379"})
	}
	if c.RedisDatabase < 0 {
		found = append(found, &problem.Error{What: fmt.Sprintf("FN_REDIS_DATABASE is %d", c.RedisDatabase), Why: "databases are numbered from 0", Fix: "FN_REDIS_DATABASE=0"})
	}
	return found
}

// fromURL never quotes the URL, nor an error that may: a password can be anywhere in a malformed one.
func (c Config) fromURL() (*redis.Options, problem.List) {
	text := strings.TrimSpace(c.RedisURL.Reveal())
	wrong := func(why string) (*redis.Options, problem.List) {
		return &redis.Options{}, problem.List{{
			What: "REDIS_URL cannot be used", Why: why,
			Fix: "write redis://user:password@host:6379/0 (rediss:// for TLS); characters such as @ / # in a password are percent-encoded",
		}}
	}
	if !strings.HasPrefix(text, "redis://") && !strings.HasPrefix(text, "rediss://") {
		return wrong("it begins with neither redis:// nor rediss://")
	}
	o, err := redis.ParseURL(text)
	switch {
	case err != nil:
		return wrong("it is not a URL of the form that is needed")
	case o.TLSConfig != nil && o.TLSConfig.InsecureSkipVerify:
		return wrong("skip_verify would accept any server; FN_REDIS_TLS_CA_FILE makes a private certificate known")
	}
	return o, nil
}

// encrypt adds the certificates.
func (c Config) encrypt(o *redis.Options) (found problem.List) {
	if c.RedisTLSCaFile == "" && c.RedisTLSCertFile == "" && c.RedisTLSKeyFile == "" {
		return nil
	}
	if o.TLSConfig == nil {
		return problem.List{{
			What: "certificates are given but TLS is off", Why: "FN_REDIS_TLS_CA_FILE, _CERT_FILE and _KEY_FILE have no use without it",
			Fix: "write rediss:// in REDIS_URL, or FN_REDIS_TLS=on",
		}}
	}
	o.TLSConfig.MinVersion = tls.VersionTLS12
	if c.RedisTLSCaFile != "" {
		pem, err := os.ReadFile(c.RedisTLSCaFile)
		o.TLSConfig.RootCAs = x509.NewCertPool()
		if err != nil {
			found = append(found, &problem.Error{What: "FN_REDIS_TLS_CA_FILE cannot be read", Why: err.Error()})
		} else if !o.TLSConfig.RootCAs.AppendCertsFromPEM(pem) {
			found = append(found, &problem.Error{What: "FN_REDIS_TLS_CA_FILE holds no certificate", Why: "nothing in it is PEM of a certificate"})
		}
	}
	if c.RedisTLSCertFile != "" || c.RedisTLSKeyFile != "" {
		pair, err := tls.LoadX509KeyPair(c.RedisTLSCertFile, c.RedisTLSKeyFile)
		if err != nil {
			found = append(found, &problem.Error{What: "the client certificate cannot be used", Why: err.Error(), Fix: "set both FN_REDIS_TLS_CERT_FILE and FN_REDIS_TLS_KEY_FILE, in PEM"})
		}
		o.TLSConfig.Certificates = []tls.Certificate{pair}
	}
	return found
}
