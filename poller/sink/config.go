// Package sink carries batches to a function, and knows what its answers mean for a session.
package sink

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"freshet/shared/config"
	"freshet/shared/problem"
)

// Config says where batches go and how patient the poller is.
type Config struct {
	FunctionURL  string        `split_words:"true" needed:"true" desc:"Where batches go: the URL of the function."`
	Sink         string        `split_words:"true" default:"freshet" desc:"Name of the sink: its state in Redis is the hash freshet:NAME:state."`
	Fence        config.Switch `split_words:"true" default:"on" desc:"off for an endpoint of your own that knows nothing of sessions: it gets batches, at least once, in order per lane."`
	Timeout      time.Duration `split_words:"true" default:"30s" desc:"Longest the function may take for one batch."`
	ReplayWindow time.Duration `split_words:"true" default:"60s" desc:"How long the confirmed LSN is kept behind the applied one, so that a Redis which loses its last writes can be sent them again."`
	Heartbeat    time.Duration `split_words:"true" default:"10s" desc:"Longest silence towards the function; a heartbeat notices an emptied Redis on an idle database."`
	RetryMax     time.Duration `split_words:"true" default:"5s" desc:"Longest pause between two attempts when the function is in trouble that passes."`
	HoldPause    time.Duration `split_words:"true" default:"10s" desc:"Pause between two attempts when the function answers that something is configured wrong."`
	RecordDir    string        `split_words:"true" desc:"Folder that keeps the last batches as files ready for curl. They hold rows of your tables."`
	RecordKeep   int           `split_words:"true" default:"100" desc:"How many batches are kept in POLLER_RECORD_DIR."`
}

var sinkName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,63}$`)

// Validate refuses what cannot work. The URL is not quoted: it may hold a password.
func (c Config) Validate() (found problem.List) {
	u, err := url.Parse(c.FunctionURL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		found = append(found, &problem.Error{What: "POLLER_FUNCTION_URL is not a URL", Why: "it needs http:// or https:// and a host", Fix: "set it to something like http://127.0.0.1:8080"})
	}
	if !sinkName.MatchString(c.Sink) {
		found = append(found, &problem.Error{What: fmt.Sprintf("POLLER_SINK is %q", c.Sink), Fix: "use 1 to 63 letters, digits, '_', '.' or '-'"})
	}
	for name, d := range map[string]time.Duration{"POLLER_TIMEOUT": c.Timeout, "POLLER_HEARTBEAT": c.Heartbeat, "POLLER_RETRY_MAX": c.RetryMax, "POLLER_HOLD_PAUSE": c.HoldPause} {
		if d <= 0 {
			found = append(found, &problem.Error{What: fmt.Sprintf("%s is %s", name, d), Fix: "use a duration above zero, such as 10s"})
		}
	}
	if c.ReplayWindow < 0 {
		found = append(found, &problem.Error{What: fmt.Sprintf("POLLER_REPLAY_WINDOW is %s", c.ReplayWindow), Fix: "use 0s or more"})
	}
	if c.RecordKeep < 1 {
		found = append(found, &problem.Error{What: fmt.Sprintf("POLLER_RECORD_KEEP is %d", c.RecordKeep), Fix: "use at least 1"})
	}
	return found
}

// routes are the URLs of the function. Without a fence the batches go to the very URL that was given, since
// it may be anybody's endpoint.
func (c Config) routes() (batches, base string) {
	base = strings.TrimSuffix(strings.TrimSuffix(c.FunctionURL, "/"), "/v1/batches")
	if !c.Fence {
		return c.FunctionURL, base
	}
	return base + "/v1/batches", base
}
