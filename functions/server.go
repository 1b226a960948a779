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
	kept    *kept
	bodies  sync.Pool // of *received
}

// received is the body of a request and the batch that points into it.
type received struct {
	body  bytes.Buffer
	batch change.Batch
}

// NewServer serves the handler over HTTP. Every error is application/problem+json.
func NewServer(h *Handler, c Config, log *slog.Logger) http.Handler {
	h.Poison = c.Poison
	s := &server{Handler: h, config: c, log: log, metrics: NewMetrics(), kept: newKept(h.store)}
	s.metrics.registry.MustRegister(s.kept)
	s.bodies.New = func() any { return new(received) }
	e := echo.New()
	e.HTTPErrorHandler = s.fail
	e.Use(s.guard)
	e.POST(exchange.RouteBatches, s.batch)
	e.POST("/", s.batch)
	e.POST(exchange.RouteSessions, s.session)
	e.POST(exchange.RouteVerify, s.verify)
	e.POST(exchange.RouteScan, s.scan)
	e.POST(exchange.RouteSweep, s.sweep)
	e.GET(exchange.RouteDeadLetters, s.letters)
	e.POST(exchange.RouteDeadLetters, s.settleLetters)
	e.GET(exchange.RouteCheck, s.check)
	e.POST(exchange.RouteCheck, s.checkTables)
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

// apply reads the body and settles it.
func (s *server) apply(c echo.Context) (r exchange.Receipt, how Manner, err error) {
	how = Manner{DryRun: c.QueryParam(exchange.QueryDryRun) == "1", Unfenced: c.QueryParam(exchange.QueryFence) == "off", Against: c.QueryParam(exchange.QueryAgainst) == "1"}
	err = s.received(c, func(in *received) (err error) {
		s.metrics.bytes.Add(float64(in.body.Len()))
		if began := time.Now(); how == (Manner{}) {
			var ok bool
			if r, ok, err = s.applyText(c.Request().Context(), &in.batch, in.body.Bytes()); ok {
				s.kept.seen(in.batch.Fence.Sink)
				s.metrics.applied(began)
				return err
			}
		}
		broken, err := in.parse()
		if err != nil {
			return err
		}
		if f := in.batch.Fence; f != nil && validSink(f.Sink) {
			s.kept.seen(f.Sink)
		}
		defer s.metrics.applied(time.Now())
		r, err = s.Apply(c.Request().Context(), in.batch, how, broken...)
		return err
	})
	return r, how, err
}

// received reads the body and hands it over. The memory goes back when nothing points into it any more.
func (s *server) received(c echo.Context, do func(in *received) error) error {
	in := s.bodies.Get().(*received)
	defer func() {
		in.batch.Reset() // its messages would keep a buffer alive that body has outgrown
		s.bodies.Put(in)
	}()
	if err := s.read(c, &in.body); err != nil {
		return err
	}
	return do(in)
}

// parse reads the body as a batch, and answers the messages that cannot be read.
func (in *received) parse() (broken []change.Broken, err error) {
	if broken, err = change.ParseBatchApart(&in.batch, in.body.Bytes()); err != nil {
		return nil, malformed("this is not a batch", err.Error())
	}
	return broken, nil
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

// asked reads the body as JSON.
func (s *server) asked(c echo.Context, into any, otherwise string) error {
	var body bytes.Buffer
	if err := s.read(c, &body); err != nil {
		return err
	}
	if err := json.Unmarshal(body.Bytes(), into); err != nil {
		return malformed(otherwise, err.Error())
	}
	return nil
}

func (s *server) session(c echo.Context) error {
	var ask exchange.OpenRequest
	if err := s.asked(c, &ask, "this opens no session"); err != nil {
		return err
	}
	response, err := s.Open(c.Request().Context(), ask)
	if err != nil {
		s.log.Warn("session not opened", logging.Session, ask.Session, logging.Sink, ask.Sink, logging.Err, err)
		return err
	}
	s.log.Info("session opened", logging.Session, ask.Session, logging.Sink, ask.Sink, "found", response.Found, logging.LSN, response.Sealed)
	return answer(c, response)
}

func (s *server) verify(c echo.Context) error {
	how := Manner{Unfenced: c.QueryParam(exchange.QueryFence) == "off"}
	var found exchange.Comparison
	err := s.received(c, func(in *received) error {
		broken, err := in.parse()
		if err != nil {
			return err
		}
		if len(broken) > 0 {
			return malformed("this is not a batch", broken[0].Err.Error())
		}
		found, err = s.Verify(c.Request().Context(), in.batch, how)
		return err
	})
	if err != nil {
		s.log.Warn("batch not compared", logging.Batch, c.Request().Header.Get(exchange.HeaderBatch), logging.Err, err)
		return err
	}
	s.metrics.verified(found)
	return answer(c, found)
}

func (s *server) scan(c echo.Context) error {
	var ask exchange.ScanRequest
	if err := s.asked(c, &ask, "this scans nothing"); err != nil {
		return err
	}
	found, err := s.Scan(c.Request().Context(), ask)
	if err != nil {
		s.log.Warn("keys not scanned", logging.Session, ask.Session, logging.Sink, ask.Sink, logging.Err, err)
		return err
	}
	return answer(c, found)
}

func (s *server) sweep(c echo.Context) error {
	var ask exchange.SweepRequest
	if err := s.asked(c, &ask, "this sweeps nothing"); err != nil {
		return err
	}
	swept, err := s.Sweep(c.Request().Context(), ask)
	if err != nil {
		s.log.Warn("keys not swept", logging.Session, ask.Session, logging.Sink, ask.Sink, logging.Table, ask.Table.Table().String(), logging.Err, err)
		return err
	}
	s.metrics.swept.Add(float64(swept.Deleted))
	s.log.Debug("keys swept", logging.Table, ask.Table.Table().String(), "keys", swept.Deleted)
	return answer(c, swept)
}

func (s *server) check(c echo.Context) error {
	return s.report(c, exchange.CheckRequest{Sink: c.QueryParam("sink")})
}

func (s *server) checkTables(c echo.Context) error {
	var ask exchange.CheckRequest
	if err := s.asked(c, &ask, "this checks no tables"); err != nil {
		return err
	}
	return s.report(c, ask)
}

func (s *server) report(c echo.Context, ask exchange.CheckRequest) error {
	report, err := s.Check(c.Request().Context(), ask)
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
