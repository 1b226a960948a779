package functions

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"freshet/functions/effect"
	"freshet/functions/rules"
	"freshet/shared/change"
	"freshet/shared/exchange"
	"freshet/shared/logging"
	"freshet/shared/problem"
)

// server is the handler over HTTP.
type server struct {
	*Handler
	config  Config
	log     *slog.Logger
	metrics *Metrics
	bodies  sync.Pool // of *received
}

// received is the body of a request and the batch that points into it.
type received struct {
	body  bytes.Buffer
	batch change.Batch
}

// New serves the handler over HTTP. Every error is application/problem+json.
func New(h *Handler, c Config, log *slog.Logger) http.Handler {
	s := &server{Handler: h, config: c, log: log, metrics: NewMetrics()}
	s.bodies.New = func() any { return new(received) }
	e := echo.New()
	e.HTTPErrorHandler = s.fail
	e.Use(s.guard)
	e.POST(exchange.RouteBatches, s.batch)
	e.POST("/", s.batch)
	e.POST(exchange.RouteSessions, s.session)
	e.GET(exchange.RouteCheck, s.check)
	e.GET(exchange.RouteHealth, s.alive)
	e.GET(exchange.RouteReady, s.ready)
	e.GET(exchange.RouteMetrics, echo.WrapHandler(promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{})))
	return e
}

// guard bounds the time of a request, measures it, and keeps a panic from ending the process.
func (s *server) guard(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		began := time.Now()
		ctx, cancel := context.WithTimeout(c.Request().Context(), s.config.Timeout)
		defer cancel()
		c.SetRequest(c.Request().WithContext(ctx))
		defer func() {
			if cause := recover(); cause != nil {
				if cause == http.ErrAbortHandler {
					panic(cause)
				}
				s.log.Error("request panicked", logging.Err, cause)
				err = errors.New("the function stumbled over this request")
			}
			s.metrics.answered(c.Path(), began)
		}()
		return next(c)
	}
}

func (s *server) batch(c echo.Context) error {
	began := time.Now()
	receipt, how, err := s.apply(c)
	switch {
	case err != nil:
		d := details(err)
		s.metrics.refused(d.Status, d.Reason)
		s.log.Warn("batch not settled", logging.Batch, c.Request().Header.Get(exchange.HeaderBatch), "status", d.Status, logging.Err, err)
		return err
	case how.DryRun:
		s.metrics.dryRun()
	default:
		s.metrics.settled(receipt)
		s.log.Debug("batch settled", logging.Batch, c.Request().Header.Get(exchange.HeaderBatch), "receipt", receipt, logging.Took, time.Since(began))
	}
	return answer(c, receipt)
}

// apply reads the body and settles it. The memory goes back when nothing points into it any more.
func (s *server) apply(c echo.Context) (r exchange.Receipt, how Manner, err error) {
	how = Manner{DryRun: c.QueryParam(exchange.QueryDryRun) == "1", Unfenced: c.QueryParam(exchange.QueryFence) == "off"}
	in := s.bodies.Get().(*received)
	defer func() {
		in.batch.Reset() // its messages would keep a buffer alive that body has outgrown
		s.bodies.Put(in)
	}()
	if err := s.read(c, &in.body); err != nil {
		return r, how, err
	}
	s.metrics.bytes.Add(float64(in.body.Len()))
	if err := change.ParseBatchInto(&in.batch, in.body.Bytes()); err != nil {
		return r, how, malformed("this is not a batch", err.Error())
	}
	defer s.metrics.applied(time.Now())
	r, err = s.Apply(c.Request().Context(), in.batch, how)
	return r, how, err
}

// read fills body with the request's, and stops at the limit whatever the client says of its length.
func (s *server) read(c echo.Context, body *bytes.Buffer) error {
	body.Reset()
	most, length := int64(s.config.MaxBody), c.Request().ContentLength
	if length > most {
		return tooLarge(most)
	}
	// A client that only claims a long body does not get much memory for it.
	const trusted = 1 << 20
	body.Grow(int(min(max(length, 0), trusted)) + bytes.MinRead)
	_, err := body.ReadFrom(http.MaxBytesReader(c.Response(), c.Request().Body, most))
	var limit *http.MaxBytesError
	switch {
	case errors.As(err, &limit):
		return tooLarge(most)
	case err != nil:
		return echo.NewHTTPError(http.StatusRequestTimeout, "the body did not arrive whole")
	}
	return nil
}

func tooLarge(most int64) error {
	return echo.NewHTTPError(http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %d bytes (FN_MAX_BODY)", most))
}

func (s *server) session(c echo.Context) error {
	var body bytes.Buffer
	if err := s.read(c, &body); err != nil {
		return err
	}
	var ask exchange.OpenRequest
	if err := json.Unmarshal(body.Bytes(), &ask); err != nil {
		return malformed("this opens no session", err.Error())
	}
	response, err := s.Open(c.Request().Context(), ask)
	if err != nil {
		s.log.Warn("session not opened", logging.Session, ask.Session, logging.Sink, ask.Sink, logging.Err, err)
		return err
	}
	s.log.Info("session opened", logging.Session, ask.Session, logging.Sink, ask.Sink, "found", response.Found, logging.LSN, response.Sealed)
	return answer(c, response)
}

func (s *server) check(c echo.Context) error {
	report, err := s.Check(c.Request().Context(), c.QueryParam("sink"))
	if err != nil {
		return err
	}
	return answer(c, report)
}

func (s *server) alive(c echo.Context) error { return answer(c, map[string]string{"status": "alive"}) }

func (s *server) ready(c echo.Context) error {
	if err := s.Ready(c.Request().Context()); err != nil {
		return err
	}
	return answer(c, map[string]string{"status": "ready"})
}

func answer(c echo.Context, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return c.Blob(http.StatusOK, exchange.ContentType, text)
}

// fail answers with what details makes of the error.
func (s *server) fail(err error, c echo.Context) {
	if c.Response().Committed {
		return
	}
	d := details(err)
	text, _ := json.Marshal(d)
	if err := c.Blob(d.Status, problem.ContentType, text); err != nil {
		s.log.Debug("answer not sent", logging.Err, err)
	}
}

// details decides what an error is over HTTP. The status tells the poller what to do, see exchange.Judge; what is not known here is
// trouble of ours, and worth another attempt.
func details(err error) problem.Details {
	var wrong *Malformed
	var poison *rules.Poison
	var unplannable *rules.Unplannable
	var refusal *effect.Refusal
	var trouble *problem.Error
	var routing *echo.HTTPError
	switch {
	case errors.As(err, &wrong):
		return wrong.Cause.Details(http.StatusBadRequest, "")
	case errors.As(err, &poison):
		return poison.Cause.Details(http.StatusUnprocessableEntity, "")
	case errors.As(err, &unplannable):
		return unplannable.Cause.Details(http.StatusUnprocessableEntity, "")
	case errors.As(err, &refusal):
		return refusal.Cause.Details(http.StatusConflict, refusal.Reason)
	case errors.As(err, &trouble):
		return trouble.Details(http.StatusServiceUnavailable, "")
	case errors.As(err, &routing):
		return problem.Details{Title: fmt.Sprint(routing.Message), Status: routing.Code, Transient: routing.Code == http.StatusRequestTimeout}
	}
	return problem.Details{Title: err.Error(), Status: http.StatusInternalServerError, Transient: true}
}
