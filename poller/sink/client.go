package sink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/tidwall/gjson"

	"freshet/shared/config"
	"freshet/shared/exchange"
	"freshet/shared/problem"
)

// Client makes one attempt at a time and says what its outcome means.
type Client struct {
	http          *http.Client
	batches, base string
	timeout       time.Duration
}

// NewClient makes a client that keeps one connection per lane open. transport is nil but for tests.
func NewClient(c Config, lanes int, transport http.RoundTripper) *Client {
	batches, base := c.routes()
	if transport == nil {
		transport = newDirect(base, lanes+2, newTransport(lanes))
	}
	return &Client{
		http: &http.Client{
			Transport: transport,
			// A redirect would turn the POST into a GET; it means that the URL is wrong.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		batches: batches, base: base, timeout: c.Timeout,
	}
}

func newTransport(lanes int) *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = lanes + 2
	t.DisableCompression = true
	return t
}

// Target is the URL as it may be shown.
func (c *Client) Target() string { return config.PrintableURL(c.base) }

// Answer is what one attempt came to.
type Answer struct {
	Outcome exchange.Outcome
	// Problem says why, when Outcome is not Settled.
	Problem    *problem.Error
	Reason     string
	RetryAfter time.Duration
	body       []byte
}

// Batch posts the bytes of one batch.
func (c *Client) Batch(ctx context.Context, id string, body Body, attempt int) Answer {
	header := http.Header{exchange.HeaderBatch: {id}, exchange.HeaderAttempt: {strconv.Itoa(attempt)}}
	return c.do(ctx, http.MethodPost, c.batches, body, header)
}

// Verify posts a batch that is to be compared with what Redis has.
func (c *Client) Verify(ctx context.Context, id string, body Body, attempt int) Answer {
	header := http.Header{exchange.HeaderBatch: {id}, exchange.HeaderAttempt: {strconv.Itoa(attempt)}}
	return c.do(ctx, http.MethodPost, c.base+exchange.RouteVerify, body, header)
}

// Comparison reads the answer to Verify.
func (c *Client) Comparison(a Answer) (result exchange.Comparison, _ Answer) {
	a = c.decode(a, &result)
	return result, a
}

// Scan asks for the next keys of some tables.
func (c *Client) Scan(ctx context.Context, ask exchange.ScanRequest) (found exchange.ScanResponse, a Answer) {
	a = c.ask(ctx, exchange.RouteScan, ask, &found)
	return found, a
}

// Sweep removes keys that no row can have.
func (c *Client) Sweep(ctx context.Context, ask exchange.SweepRequest) (done exchange.SweepResponse, a Answer) {
	a = c.ask(ctx, exchange.RouteSweep, ask, &done)
	return done, a
}

// Receipt reads what a settled batch came to. Another's endpoint may answer anything: then it is empty.
func (a Answer) Receipt() (r exchange.Receipt) {
	_ = json.Unmarshal(a.body, &r)
	return r
}

// rules is what the receipt says of the function's rules; empty when it says nothing.
func (a Answer) rules() string { return gjson.GetBytes(a.body, "rules").Str }

// Open asks for a session.
func (c *Client) Open(ctx context.Context, request exchange.OpenRequest) (response exchange.OpenResponse, a Answer) {
	a = c.ask(ctx, exchange.RouteSessions, request, &response)
	return response, a
}

// ask posts a request as JSON and reads the answer into another.
func (c *Client) ask(ctx context.Context, route string, request, into any) Answer {
	body, err := json.Marshal(request)
	if err != nil {
		return held("cannot encode the request for "+route, err.Error(), "")
	}
	return c.decode(c.do(ctx, http.MethodPost, c.base+route, Body{body}, http.Header{}), into)
}

// Check asks the function about itself, its Redis, and what its rules make of some tables.
func (c *Client) Check(ctx context.Context, request exchange.CheckRequest) (check exchange.Check, a Answer) {
	a = c.ask(ctx, exchange.RouteCheck, request, &check)
	return check, a
}

func (c *Client) decode(a Answer, into any) Answer {
	if a.Outcome != exchange.Settled {
		return a
	}
	if err := json.Unmarshal(a.body, into); err != nil {
		return held("the function at "+c.Target()+" does not speak freshet's language", "its answer is not what was asked for: "+err.Error(),
			"check POLLER_FUNCTION_URL; for an endpoint of your own set POLLER_FENCE=off")
	}
	return a
}

func (c *Client) do(ctx context.Context, method, to string, body Body, header http.Header) Answer {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, to, nil)
	if err != nil {
		return held("POLLER_FUNCTION_URL cannot be used", "it is not a URL", "set it to something like http://127.0.0.1:8080")
	}
	defer body.attach(request).over()
	request.Header = header
	if body != nil {
		request.Header.Set("Content-Type", exchange.ContentType)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return c.unreachable(ctx, err)
	}
	defer response.Body.Close()
	const most = 4 << 20
	answer, err := io.ReadAll(io.LimitReader(response.Body, most))
	if err != nil {
		return c.unreachable(ctx, err)
	}
	return c.judge(response, answer)
}

func (c *Client) judge(response *http.Response, body []byte) Answer {
	if exchange.Judge(response.StatusCode, "") == exchange.Settled {
		return Answer{Outcome: exchange.Settled, body: body}
	}
	d := problem.Parse(body, response.StatusCode)
	a := Answer{
		Outcome:    exchange.Judge(response.StatusCode, d.Reason),
		Problem:    d.Error(),
		Reason:     d.Reason,
		RetryAfter: exchange.RetryAfter(response.Header.Get("Retry-After"), time.Now()),
	}
	a.Problem.What = fmt.Sprintf("the function at %s answered %d: %s", c.Target(), response.StatusCode, d.Title)
	if a.Problem.Fix == "" {
		a.Problem.Fix = advice(response.StatusCode)
	}
	a.Problem.Transient = a.Outcome == exchange.Retry
	return a
}

// advice is what to try for an answer that does not say so itself.
func advice(status int) string {
	switch {
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return "let the poller's identity call the function"
	case status >= 300 && status < 400:
		return "set POLLER_FUNCTION_URL to the address that the redirect leads to"
	case status == http.StatusNotFound, status == http.StatusMethodNotAllowed, status == http.StatusGone:
		return "check POLLER_FUNCTION_URL: nothing there takes batches"
	}
	return ""
}

// unreachable is an attempt without an answer. The error of net/http quotes the URL, which may hold a password.
func (c *Client) unreachable(ctx context.Context, err error) Answer {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	why := err.Error()
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		why = "the request was given up"
	case errors.Is(ctx.Err(), context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded): // the connection's clock may be the first
		why = "no answer within " + c.timeout.String()
	}
	return Answer{Outcome: exchange.Retry, Problem: &problem.Error{
		What: "the function at " + c.Target() + " cannot be reached", Why: why,
		Fix: "start it, or check POLLER_FUNCTION_URL", Transient: true,
	}}
}

func held(what, why, fix string) Answer {
	return Answer{Outcome: exchange.Held, Problem: &problem.Error{What: what, Why: why, Fix: fix}}
}
