// Package logging makes the one logger of a program and names the attributes that both programs use.
package logging

import (
	"fmt"
	"io"
	"log/slog"

	"freshet/shared/problem"
)

// Attributes, spelled the same in every line of both programs.
const (
	Slot     = "slot"
	LSN      = "lsn"
	Sink     = "sink"
	Session  = "session"
	Lane     = "lane"
	Table    = "table"
	Batch    = "batch"
	Messages = "messages"
	Bytes    = "bytes"
	Attempt  = "attempt"
	Took     = "took"
	Err      = "err"
)

// Config is how a program logs.
type Config struct {
	LogLevel  slog.Level `split_words:"true" default:"INFO" desc:"Least level that is logged: DEBUG, INFO, WARN or ERROR."`
	LogFormat string     `split_words:"true" default:"text" desc:"text for people, json for log collectors."`
}

// Validate refuses formats that do not exist.
func (c Config) Validate() (found problem.List) {
	if c.LogFormat != "text" && c.LogFormat != "json" {
		found = append(found, &problem.Error{What: fmt.Sprintf("LOG_FORMAT is %q", c.LogFormat), Fix: "use text or json"})
	}
	return found
}

// New makes a logger that writes to w.
func New(w io.Writer, c Config) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.LogLevel, ReplaceAttr: severity(c.LogFormat)}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// severity names the level and the message as Cloud Logging looks for them; other collectors accept any name.
func severity(format string) func([]string, slog.Attr) slog.Attr {
	if format != "json" {
		return nil
	}
	return func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) > 0 {
			return a
		}
		switch a.Key {
		case slog.LevelKey:
			a.Key = "severity"
		case slog.MessageKey:
			a.Key = "message"
		}
		return a
	}
}
