package functions

import (
	"context"
	"log/slog"
	"net/http"
	"os"

	"github.com/aws/aws-lambda-go/lambda"

	"freshet/functions/redisstore"
	"freshet/functions/rules"
	"freshet/shared/change"
	"freshet/shared/logging"
)

// Function is the whole program: rules, Redis, HTTP.
type Function struct {
	http.Handler
	config Config
	store  *redisstore.Store
	log    *slog.Logger
}

// Transform makes the value of a row in code, in place of FN_VALUE; keys, filters, expiries and all the rest stay as they are set. It is asked
// for rows that are to have a key, never for deletes. keep is false for a row that is to have none: its key is removed. An error holds the whole
// batch, which comes again; it may be asked twice of a message whose batch has others that cannot be read or settled. m points into the request, so
// nothing of it may be kept but the value; it is called by many goroutines.
type Transform func(ctx context.Context, m change.Message) (value string, keep bool, err error)

// during is the transform for one request.
func (t Transform) during(ctx context.Context) func(m *change.Message) (string, bool, error) {
	if t == nil {
		return nil
	}
	return func(m *change.Message) (string, bool, error) { return t(ctx, *m) }
}

// Option changes what New makes.
type Option func(*options)

type options struct {
	transform Transform
	version   string
	log       *slog.Logger
}

// WithTransform has values made by code.
func WithTransform(t Transform) Option { return func(o *options) { o.transform = t } }

// WithVersion names the version of the transform. With another one the values are others, and the tables are filled again.
func WithVersion(v string) Option { return func(o *options) { o.version = v } }

// WithLog has the function log there, in place of its standard error.
func WithLog(l *slog.Logger) Option { return func(o *options) { o.log = l } }

// New makes a function. It neither listens nor connects.
func New(c Config, choices ...Option) (*Function, error) {
	o := options{log: logging.New(os.Stderr, c.Logging)}
	for _, choose := range choices {
		choose(&o)
	}
	if err := c.Validate().OrNil(); err != nil {
		return nil, err
	}
	compiled, err := rules.Compile(c.Rules)
	if err != nil {
		return nil, err
	}
	store, err := redisstore.New(c.Redis)
	if err != nil {
		return nil, err
	}
	if o.transform != nil {
		compiled = compiled.ByCode(o.version)
	}
	h := NewHandler(compiled, store)
	h.transform = o.transform
	return &Function{Handler: NewServer(h, c, o.log), config: c, store: store, log: o.log}, nil
}

// Run serves until ctx ends: on a port, or where AWS_LAMBDA_RUNTIME_API is set, the Lambda runtime, from which there is no return.
func (f *Function) Run(ctx context.Context) error {
	if os.Getenv("AWS_LAMBDA_RUNTIME_API") != "" {
		lambda.StartWithOptions(Lambda(f), lambda.WithContext(ctx))
	}
	return Serve(ctx, f.config, f, f.log)
}

// Close ends the connections to Redis.
func (f *Function) Close() error { return f.store.Close() }
