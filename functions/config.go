package functions

import (
	"fmt"
	"time"

	"freshet/functions/redisstore"
	"freshet/functions/rules"
	"freshet/shared/config"
	"freshet/shared/logging"
	"freshet/shared/problem"
)

// The parts of Config, each declared beside the code that obeys it.
type (
	Logging = logging.Config
	Rules   = rules.Config
	Redis   = redisstore.Config
)

// Config is everything that can be set (FN_*).
type Config struct {
	Port    int           `split_words:"true" bare:"true" default:"8080" desc:"Port to listen on. On Lambda nothing is listened on."`
	MaxBody config.Bytes  `split_words:"true" default:"16777216" desc:"Largest body of a request, in bytes, or such as 16MiB."`
	Timeout time.Duration `split_words:"true" default:"15s" desc:"Longest that one request may take; what is not done then is answered with 503 and comes again."`

	Poison
	Rules
	Redis
	Logging
}

// Validate reports every setting that cannot work.
func (c Config) Validate() (found problem.List) {
	if c.Port < 0 || c.Port > 65535 {
		found = append(found, &problem.Error{What: fmt.Sprintf("PORT is %d", c.Port), Why: "ports are 0 to 65535; 0 takes any that is free", Fix: "PORT=8080"})
	}
	if c.MaxBody < 1024 {
		found = append(found, &problem.Error{What: fmt.Sprintf("FN_MAX_BODY is %d", c.MaxBody), Why: "not even a batch of one row would fit", Fix: "FN_MAX_BODY=16MiB"})
	}
	if c.Timeout < 100*time.Millisecond {
		found = append(found, &problem.Error{What: "FN_TIMEOUT is " + c.Timeout.String(), Why: "no batch would ever be done in time", Fix: "FN_TIMEOUT=15s"})
	}
	found = append(found, c.Poison.Validate()...)
	found = append(found, c.Letters.Validate()...)
	found = append(found, c.Rules.Validate()...)
	found = append(found, c.Redis.Validate()...)
	return append(found, c.Logging.Validate()...)
}
