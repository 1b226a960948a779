package poller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"freshet/poller/admin"
	"freshet/poller/catalog"
	"freshet/poller/gather"
	"freshet/poller/guard"
	"freshet/poller/operate"
	"freshet/poller/render"
	"freshet/poller/replication"
	"freshet/poller/sink"
	"freshet/shared/change"
	"freshet/shared/exchange"
	"freshet/shared/logging"
	"freshet/shared/problem"
)

// Poller mirrors one database's tables through one slot.
type Poller struct {
	config   Config
	patterns []catalog.Pattern
	log      *slog.Logger
	metrics  *admin.Metrics
	health   *admin.Health
	client   *sink.Client
	recorder *sink.Recorder
	waiting  *sink.Waiting
	operator *operator
	guard    *guard.Watcher
	slot     slotMemory
	warned   map[string]bool // what the preflight of the life before has said
	started  bool            // a session was opened: from then on trouble is waited for, before it is reported
}

// New makes a poller of settings that were validated. It connects to nothing yet.
func New(c Config, log *slog.Logger) (*Poller, error) {
	patterns, err := catalog.ParsePatterns(c.Tables)
	if err != nil {
		return nil, err
	}
	recorder, err := sink.NewRecorder(c.RecordDir, c.RecordKeep)
	if err != nil {
		return nil, err
	}
	p := &Poller{
		config: c, patterns: patterns, recorder: recorder, waiting: &sink.Waiting{},
		log:     log.With(logging.Slot, c.Slot),
		metrics: admin.NewMetrics(),
		client:  sink.NewClient(c.Sink.Config, c.Lanes.Lanes, nil),
	}
	p.health = admin.NewHealth(p.waiting.Longest)
	p.operator = newOperator(p)
	p.guard = &guard.Watcher{Config: c.Guard.Config, DatabaseURL: c.DatabaseURL, Slot: c.Slot, Metrics: p.metrics, Log: p.log, Stuck: p.senderStuck}
	p.slot.stuck = make(chan int32, 1)
	return p, nil
}

// Run mirrors until the context ends, which is no error, or until something is found that only a person can mend. The admin page
// comes first and goes last.
func (p *Poller) Run(ctx context.Context) error {
	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	g, work := errgroup.WithContext(ctx)
	g.Go(func() error {
		return admin.Serve(serving, p.config.AdminAddr, admin.Handler(p.health, p.metrics, p.guard, operate.Handler(p.operator)))
	})
	g.Go(func() error { p.guard.Run(serving); return nil })
	g.Go(func() error {
		defer stopServing()
		return p.lives(work)
	})
	return g.Wait()
}

// steady is how long a life must have lasted for the next attempt to come at once.
const steady = 10 * time.Second

// lives begins a new life whenever one ends.
func (p *Poller) lives(ctx context.Context) error {
	again := backoff.NewExponentialBackOff()
	again.InitialInterval, again.MaxInterval = 100*time.Millisecond, 3*time.Second
	taken := 0
	for {
		began := time.Now()
		err := p.live(ctx)
		if ctx.Err() != nil || err == nil {
			return nil
		}
		if final(err) {
			return err
		}
		if taken = takeovers(taken, err, time.Since(began)); taken == mostTakeovers {
			return p.contested()
		}
		if time.Since(began) > steady {
			again.Reset()
		}
		wait := p.explain(err, again.NextBackOff())
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// A poller that keeps getting the slot and keeps losing the sink shares the sink with a poller of another slot.
const (
	mostTakeovers = 3
	takeoverFades = 10 * time.Minute // a life that lasted so long does not count as one of a fight
)

// takeovers counts the lives in a row that ended because another session took the sink.
func takeovers(before int, err error, lasted time.Duration) int {
	switch {
	case !errors.Is(err, sink.ErrFenced):
		return 0
	case lasted > takeoverFades:
		return 1
	}
	return before + 1
}

func (p *Poller) contested() error {
	return &problem.Error{
		What: "another poller keeps taking over the sink",
		Why:  fmt.Sprintf("sink %q was taken over %d times in a row, although this poller holds its slot %q: the other one has a slot of its own", p.config.Sink.Sink, mostTakeovers, p.config.Slot),
		Fix:  "stop one of them; or, if their tables differ, give each its own POLLER_SINK",
	}
}

// final says whether waiting cannot help: findings that a person has to mend.
func final(err error) bool {
	var list problem.List
	if errors.As(err, &list) {
		return !list.Transient()
	}
	var one *problem.Error
	return errors.As(err, &one) && !one.Transient && !errors.Is(err, sink.ErrLost) && !errors.Is(err, sink.ErrFenced) && !errors.Is(err, sink.ErrRules)
}

// standbyPause is how soon a poller that waits for the slot looks again, so that it takes over within a second or two.
const standbyPause = time.Second

// explain says why a life ended and how long to wait.
func (p *Poller) explain(err error, wait time.Duration) time.Duration {
	why := &problem.Error{What: "the stream was interrupted", Why: err.Error()}
	var one *problem.Error
	switch {
	case errors.Is(err, replication.ErrSlotInUse):
		why = &problem.Error{What: "standing by", Why: "another process streams from the slot", Fix: "nothing to do: this one takes over when that one ends"}
		wait = standbyPause
	case errors.Is(err, sink.ErrLost):
		why = &problem.Error{What: "the sink lost something it had acknowledged", Why: "Redis was emptied, restored or failed over", Fix: "nothing to do: a new session finds out what is missing"}
	case errors.Is(err, sink.ErrFenced):
		why = &problem.Error{What: "another session has taken over the sink", Why: "a second poller uses the same sink", Fix: "stop it, or give it another POLLER_SINK"}
	case errors.Is(err, sink.ErrRules):
		why = &problem.Error{What: "a session is opened anew", Why: "the function has other rules now", Fix: "nothing to do: the keys and values that follow from them are made anew"}
	case errors.Is(err, errAltered):
		why = &problem.Error{What: "the tables are looked at afresh", Why: err.Error(), Fix: "nothing to do: rows whose form has changed are read again"}
	case errors.Is(err, errLetGo):
		why = &problem.Error{What: "the slot is let go", Why: "Postgres wants to end its stream, which it cannot while nothing is read because the function takes nothing", Fix: "nothing to do: a slot that is lost or dropped is made anew"}
	case errors.Is(err, replication.ErrServerStopping):
		why = &problem.Error{What: "Postgres is shutting down", Why: "the connection was given up so that it can"}
	case errors.As(err, &one):
		why = one
	}
	if p.health.Not(why, time.Now()) {
		p.log.Warn(why.What, "why", why.Why, "fix", why.Fix, "again_in", wait.Round(time.Millisecond).String())
	}
	return wait
}

// connect opens an ordinary connection, with everything pinned that could make text come out differently.
func (p *Poller) connect(ctx context.Context) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig(p.config.DatabaseURL.Reveal())
	if err != nil {
		return nil, errors.New("DATABASE_URL cannot be parsed")
	}
	maps.Copy(config.RuntimeParams, render.Pin())
	maps.Copy(config.RuntimeParams, map[string]string{
		"row_security":       "off",   // an error is better than a page with rows left out
		"jit":                "off",   // pages are short
		"synchronous_commit": "local", // marks need not wait for standbys
		// A statement must see at least what was committed before it; and with an older snapshot, a table that has been rewritten since looks empty.
		"default_transaction_isolation": "read committed",
		"statement_timeout":             "0",
		"idle_session_timeout":          "0",
	})
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = p.config.Slot + " rows"
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeExec // no prepared statements: poolers in between do not mind
	config.DialFunc = gather.Dial(config.DialFunc)
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, replication.Unreachable(err)
	}
	return conn, nil
}

// Check examines everything a start needs and returns every finding.
func (p *Poller) Check(ctx context.Context) (tables int, found problem.List) {
	conn, err := p.connect(ctx)
	if err != nil {
		found = append(found, asFinding(err))
		return 0, append(found, p.checkFunction(ctx, nil)...)
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing hangs on it
	survey, found, err := replication.Check(ctx, conn, p.config.Source.Config, p.patterns, p.config.repairs(change.CauseSlot), nil)
	if err != nil {
		found = append(found, asFinding(err))
	}
	asked, err := shapes(ctx, conn, survey.Tables)
	if err != nil {
		found = append(found, asFinding(err))
	}
	return len(survey.Tables), append(found, p.checkFunction(ctx, asked)...)
}

func asFinding(err error) *problem.Error {
	var one *problem.Error
	if errors.As(err, &one) {
		return one
	}
	return &problem.Error{What: "the check could not be finished", Why: err.Error()}
}

// checkFunction asks the function about itself, its Redis, and what its rules make of these tables.
func (p *Poller) checkFunction(ctx context.Context, tables []exchange.TableShape) (found problem.List) {
	if !p.config.Fence {
		return nil // anybody's endpoint: it knows no check
	}
	check, a := p.client.Check(ctx, exchange.CheckRequest{Sink: p.config.Sink.Sink, Tables: tables})
	if a.Outcome != exchange.Settled {
		return problem.List{a.Problem}
	}
	for _, d := range check.Findings {
		found = append(found, d.Error())
	}
	return found
}

// preflight is Check for a start: what may pass is only logged, since the session waits for it anyway. The function is asked while the rest of the source
// is examined.
func (p *Poller) preflight(ctx context.Context, conn *pgx.Conn) (survey replication.Survey, asked []exchange.TableShape, err error) {
	var function sync.WaitGroup
	defer function.Wait()
	asking, giveUp := context.WithCancel(ctx)
	defer giveUp()
	var says problem.List
	survey, found, err := replication.Check(ctx, conn, p.config.Source.Config, p.patterns, p.config.repairs(change.CauseSlot), func(tables []catalog.Table) error {
		all, err := shapes(ctx, conn, tables)
		if err == nil && !p.started {
			function.Go(func() { says = p.checkFunction(asking, all) })
		}
		asked = all
		return err
	})
	if err != nil {
		return survey, nil, fmt.Errorf("preflight: %w", err)
	}
	if gone := p.vanished(survey); gone != nil {
		found = append(found, gone)
	}
	function.Wait()
	found = append(found, says...)
	blocking := found.Blocking()
	p.warn(found)
	if len(blocking) > 0 && !blocking.Transient() {
		return survey, nil, blocking
	}
	return survey, asked, nil
}

// warn says what may pass, but not what the preflight of the life before has said already.
func (p *Poller) warn(found problem.List) {
	said := map[string]bool{}
	for _, f := range found {
		if !f.Transient && !f.Warning {
			continue
		}
		said[f.What] = true
		if !p.warned[f.What] {
			p.log.Warn(f.What, "why", f.Why, "fix", f.Fix)
		}
	}
	p.warned = said
}
