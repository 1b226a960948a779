package operate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"time"

	"freshet/shared/exchange"
	"freshet/shared/problem"
)

// Client is the operator of a poller that runs in another process. Its errors are those of an Operator; those that may pass when one waits are
// transient.
type Client struct {
	addr string // host:port
	http *http.Client
}

// patience is how long one request may take.
const patience = 30 * time.Second

// NewClient makes a client for the poller that serves addr, a POLLER_ADMIN_ADDR. An address of all interfaces, such as :9090, means this machine.
func NewClient(addr string) (*Client, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || port == "" {
		return nil, &problem.Error{What: fmt.Sprintf("POLLER_ADMIN_ADDR is %q", addr), Why: "it is not an address with a port", Fix: "set it to what the poller has, such as 127.0.0.1:9090"}
	}
	ip := net.ParseIP(host)
	switch {
	case host == "" || ip.Equal(net.IPv4zero):
		host = "127.0.0.1"
	case ip.IsUnspecified():
		host = "::1"
	}
	return &Client{addr: net.JoinHostPort(host, port), http: &http.Client{
		Transport: &http.Transport{}, // no proxy stands between a program and its own machine
		Timeout:   patience,
		// A redirect would turn the POST into a GET; it means that something else listens there.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Backfills asks for those of all tables.
func (c *Client) Backfills(ctx context.Context) (all []Backfill, err error) {
	err = c.do(ctx, http.MethodGet, RouteBackfills, nil, &all)
	return all, err
}

// StartBackfill has rows read.
func (c *Client) StartBackfill(ctx context.Context, ask BackfillRequest) (all []Backfill, err error) {
	err = c.do(ctx, http.MethodPost, RouteBackfills, ask, &all)
	return all, err
}

// ChangeBackfill pauses, resumes or cancels. The table may be spelled as in POLLER_TABLES.
func (c *Client) ChangeBackfill(ctx context.Context, table string, do Verb) (b Backfill, err error) {
	err = c.do(ctx, http.MethodPost, RouteBackfills+"/"+url.PathEscape(table)+"/"+string(do), struct{}{}, &b)
	return b, err
}

// StartVerification has rows and keys compared.
func (c *Client) StartVerification(ctx context.Context, ask VerifyRequest) (v Verification, err error) {
	err = c.do(ctx, http.MethodPost, RouteVerifications, ask, &v)
	return v, err
}

// Verification asks how far one has come.
func (c *Client) Verification(ctx context.Context, id string) (v Verification, err error) {
	err = c.do(ctx, http.MethodGet, RouteVerifications+"/"+url.PathEscape(id), nil, &v)
	return v, err
}

// CancelVerification ends one.
func (c *Client) CancelVerification(ctx context.Context, id string) (v Verification, err error) {
	err = c.do(ctx, http.MethodDelete, RouteVerifications+"/"+url.PathEscape(id), nil, &v)
	return v, err
}

func (c *Client) do(ctx context.Context, method, path string, ask, answer any) error {
	var body []byte
	if ask != nil {
		var err error
		if body, err = json.Marshal(ask); err != nil {
			return fmt.Errorf("encode the request: %w", err)
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://"+c.addr+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("ask the poller at %s: %w", c.addr, err)
	}
	if ask != nil {
		request.Header.Set("Content-Type", exchange.ContentType)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return c.silence(ctx, err)
	}
	defer response.Body.Close()
	const most = 64 << 20 // of a thousand tables with a thousand examples each
	text, err := io.ReadAll(io.LimitReader(response.Body, most))
	if err != nil {
		return c.silence(ctx, err)
	}
	return c.judge(response, text, answer)
}

func (c *Client) judge(response *http.Response, text []byte, answer any) error {
	kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	switch {
	case response.StatusCode/100 == 2 && kind == exchange.ContentType:
		if err := json.Unmarshal(text, answer); err != nil {
			return c.stranger("its answer is not what was asked for: " + err.Error())
		}
		return nil
	case kind == problem.ContentType:
		return &Refusal{Status: response.StatusCode, Cause: problem.Parse(text, response.StatusCode).Error()}
	}
	return c.stranger(fmt.Sprintf("%s %s: %s", response.Request.Method, response.Request.URL.Path, response.Status))
}

// stranger is somebody else at the poller's address. Prometheus has the same port by default.
func (c *Client) stranger(why string) error {
	return &problem.Error{
		What: "what answers at " + c.addr + " is no poller of this version", Why: why,
		Fix: "set POLLER_ADMIN_ADDR to what the poller has, and use the program of the same version",
	}
}

// silence is a request without an answer.
func (c *Client) silence(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	var network *net.OpError
	if !errors.As(err, &network) || network.Op != "dial" {
		return &problem.Error{What: "the poller at " + c.addr + " does not answer", Why: err.Error(), Fix: "look at its log; if it is being restarted, ask again", Transient: true}
	}
	return &problem.Error{
		What: "no poller runs at " + c.addr, Why: err.Error(),
		Fix: "start it, or give this command the POLLER_ADMIN_ADDR that the poller has, on the same machine;\n" +
			"in Kubernetes run it in the poller's container: kubectl exec deploy/freshet-poller -- /poller ...",
		Transient: true,
	}
}
