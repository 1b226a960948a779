package config

import (
	"log/slog"
	"net/url"
)

// Secret is a setting that is never printed. Being a plain string kind it cannot fail to parse, so no
// parse error can quote it either.
type Secret string

const hidden = "(hidden)"

// String hides the value; an unset secret prints as nothing.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return hidden
}

// GoString hides the value from %#v.
func (s Secret) GoString() string { return s.String() }

// LogValue hides the value from slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText hides the value from encoders.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Reveal is the value itself, for the one place that needs it.
func (s Secret) Reveal() string { return string(s) }

// PrintableURL is a URL without its password and query, for logs and errors.
func PrintableURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "(not a URL)"
	}
	u.RawQuery, u.ForceQuery, u.Fragment = "", false, ""
	return u.Redacted()
}
