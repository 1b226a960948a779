package functions

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"
)

// Lambda serves h as a Lambda function behind a function URL or an HTTP API (payload 2.0). What AWS offers for it, lambdaurl, streams:
// it does not decode the bodies that arrive in base64, and loses cookies.
func Lambda(h http.Handler) func(context.Context, events.LambdaFunctionURLRequest) (events.LambdaFunctionURLResponse, error) {
	return func(ctx context.Context, event events.LambdaFunctionURLRequest) (events.LambdaFunctionURLResponse, error) {
		request, err := requestOf(ctx, event)
		if err != nil {
			return events.LambdaFunctionURLResponse{}, err
		}
		w := &recorder{header: http.Header{}}
		h.ServeHTTP(w, request)
		return w.response(), nil
	}
}

// requestOf spells the event as HTTP.
// https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-payloads
func requestOf(ctx context.Context, event events.LambdaFunctionURLRequest) (*http.Request, error) {
	body := []byte(event.Body)
	if event.IsBase64Encoded {
		var err error
		if body, err = base64.StdEncoding.DecodeString(event.Body); err != nil {
			return nil, fmt.Errorf("decode the body of the event: %w", err)
		}
	}
	path := event.RawPath
	if path == "" {
		path = "/"
	}
	// RawPath is decoded where the platform decoded it; the parts are set one by one so that nothing is read twice.
	target := url.URL{Scheme: "https", Host: event.RequestContext.DomainName, Path: path, RawQuery: event.RawQueryString}
	request, err := http.NewRequestWithContext(ctx, event.RequestContext.HTTP.Method, target.String(), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("read the event: %w", err)
	}
	for name, value := range event.Headers {
		request.Header.Set(name, value)
	}
	if len(event.Cookies) > 0 {
		request.Header.Set("Cookie", strings.Join(event.Cookies, "; "))
	}
	if host := request.Header.Get("Host"); host != "" {
		request.Host = host
	}
	request.RequestURI = target.RequestURI()
	request.RemoteAddr = event.RequestContext.HTTP.SourceIP
	return request, nil
}

// recorder keeps an answer until it is whole.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 && status >= http.StatusOK {
		r.status = status
	}
}

func (r *recorder) Write(p []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.body.Write(p)
}

// response spells the answer as an event. A body that is not text travels in base64.
func (r *recorder) response() events.LambdaFunctionURLResponse {
	r.WriteHeader(http.StatusOK)
	out := events.LambdaFunctionURLResponse{StatusCode: r.status, Headers: map[string]string{}, Cookies: r.header.Values("Set-Cookie")}
	for name, values := range r.header {
		if name != "Set-Cookie" {
			out.Headers[name] = strings.Join(values, ", ")
		}
	}
	if utf8.Valid(r.body.Bytes()) {
		out.Body = r.body.String()
		return out
	}
	out.Body, out.IsBase64Encoded = base64.StdEncoding.EncodeToString(r.body.Bytes()), true
	return out
}
