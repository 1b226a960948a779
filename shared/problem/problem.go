// Package problem is an error made for a person: what happened, why, and how to fix it. It has a form for a terminal and
// one for HTTP (application/problem+json, RFC 9457).
package problem

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// ContentType is the media type of the HTTP form.
const ContentType = "application/problem+json"

// Error is one finding. What is always set; Why and Fix where they are known.
type Error struct {
	What string
	Why  string
	Fix  string
	// Transient marks what may pass by itself (a server that is down), so that waiting makes sense.
	Transient bool
	// Warning marks what is worth knowing but stops nothing.
	Warning bool
}

func (e *Error) Error() string {
	text := e.What
	if e.Why != "" {
		text += ": " + e.Why
	}
	if e.Fix != "" {
		text += " (fix: " + e.Fix + ")"
	}
	return text
}

// List is several findings, reported together.
type List []*Error

func (l List) Error() string {
	texts := make([]string, len(l))
	for i, e := range l {
		texts[i] = e.Error()
	}
	return strings.Join(texts, "; ")
}

// Blocking leaves out the warnings.
func (l List) Blocking() (rest List) {
	for _, e := range l {
		if !e.Warning {
			rest = append(rest, e)
		}
	}
	return rest
}

// OrNil is the list as an error, nil when it is empty.
func (l List) OrNil() error {
	if len(l) == 0 {
		return nil
	}
	return l
}

// Transient says whether every finding may pass by itself.
func (l List) Transient() bool {
	for _, e := range l {
		if !e.Transient {
			return false
		}
	}
	return len(l) > 0
}

// Print writes err for a person at a terminal. Errors that are not findings are printed as one line.
func Print(w io.Writer, program string, err error) {
	var list List
	var one *Error
	switch {
	case errors.As(err, &list):
	case errors.As(err, &one):
		list = List{one}
	default:
		fmt.Fprintf(w, "%s: %v\n", program, err)
		return
	}
	for _, e := range list {
		fmt.Fprintf(w, "%s: %s\n", program, e.What)
		line(w, "why", e.Why)
		line(w, "fix", e.Fix)
	}
}

func line(w io.Writer, label, text string) {
	if text != "" {
		fmt.Fprintf(w, "  %s: %s\n", label, strings.ReplaceAll(text, "\n", "\n       "))
	}
}

// Details is the HTTP form of a finding.
type Details struct {
	Title  string `json:"title"`
	Status int    `json:"status,omitempty"`
	Detail string `json:"detail,omitempty"`
	Fix    string `json:"fix,omitempty"`
	// Reason is a word for programs, such as "lost" or "fenced".
	Reason    string `json:"reason,omitempty"`
	Transient bool   `json:"transient,omitempty"`
	Warning   bool   `json:"warning,omitempty"`
}

// Details converts e for an answer with this status and reason.
func (e *Error) Details(status int, reason string) Details {
	return Details{Title: e.What, Status: status, Detail: e.Why, Fix: e.Fix, Reason: reason, Transient: e.Transient, Warning: e.Warning}
}

// Error converts the HTTP form back.
func (d Details) Error() *Error {
	return &Error{What: d.Title, Why: d.Detail, Fix: d.Fix, Transient: d.Transient, Warning: d.Warning}
}

// Parse reads an HTTP body that may be problem+json; anything else becomes a finding that quotes its beginning.
func Parse(body []byte, status int) Details {
	var d Details
	if json.Unmarshal(body, &d) == nil && d.Title != "" {
		return d
	}
	const most = 200
	text := strings.TrimSpace(string(body))
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "..."
	}
	return Details{Title: fmt.Sprintf("answer %d", status), Status: status, Detail: text}
}
