package guard

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"freshet/poller/admin"
	"freshet/poller/replication"
	"freshet/shared/config"
	"freshet/shared/problem"
)

// Watcher looks at the slot on its own clock and its own connection, whatever else the poller does or waits for.
type Watcher struct {
	Config
	DatabaseURL config.Secret
	Slot        string
	Metrics     *admin.Metrics
	Log         *slog.Logger
	// Stuck is called with the process that streams from the slot when it cannot end because nobody reads what it says.
	Stuck func(pid int32)

	// Run alone uses these.
	conn    *pgx.Conn
	notices Notices

	mu   sync.Mutex
	seen Seen
}

// Seen is the last report and what was wrong then.
type Seen struct {
	Report
	Warnings []Warning `json:"warnings"`
	// Trouble is why later looks have failed.
	Trouble *problem.Details `json:"trouble,omitempty"`
}

// lookTimeout bounds a look, connecting included, on both sides of the connection.
const lookTimeout = 5 * time.Second

// blindLong is how long looks may fail before that is said. When Postgres is away, the stream says so at once.
const blindLong = time.Minute

// firstLook is when to look first: at once there is no slot yet, or nobody streams from it, and whoever is about to has better use for the processors.
const firstLook = time.Second

// Run watches until the context ends.
func (w *Watcher) Run(ctx context.Context) {
	defer w.hangUp()
	began := time.Now()
	for wait := min(firstLook, w.GuardEvery); ; wait = w.GuardEvery {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		report, err := w.look(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			w.failed(err, began)
		default:
			w.saw(report)
		}
	}
}

func (w *Watcher) look(ctx context.Context) (r Report, err error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	if w.conn == nil {
		if w.conn, err = connect(ctx, w.DatabaseURL, w.Slot); err != nil {
			return r, err
		}
	}
	if r, err = Inspect(ctx, w.conn, w.Slot, time.Now()); err != nil {
		w.hangUp()
	}
	return r, err
}

func connect(ctx context.Context, url config.Secret, slot string) (*pgx.Conn, error) {
	c, err := pgx.ParseConfig(url.Reveal())
	if err != nil {
		return nil, errors.New("DATABASE_URL cannot be parsed")
	}
	c.RuntimeParams["application_name"] = slot + " guard" // never the stream's name, for which commits may wait
	c.RuntimeParams["statement_timeout"] = lookTimeout.String()
	c.RuntimeParams["idle_session_timeout"] = "0"
	c.DefaultQueryExecMode = pgx.QueryExecModeExec // no prepared statements: poolers in between do not mind
	conn, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		return nil, replication.Unreachable(err)
	}
	return conn, nil
}

func (w *Watcher) hangUp() {
	if w.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = w.conn.Close(ctx) // it held nothing
	w.conn = nil
}

func (w *Watcher) saw(r Report) {
	before := w.Seen().Report
	r = r.Since(before)
	if r.SenderStuck && before.SenderStuck && r.SenderPID == before.SenderPID { // not only for a moment
		w.Stuck(r.SenderPID)
	}
	warnings := w.Judge(r)
	w.export(r)
	w.say(warnings, r.Checked)
	w.mu.Lock()
	w.seen = Seen{Report: r, Warnings: warnings}
	w.mu.Unlock()
}

// failed keeps the last report: what was wrong is not over because nobody can look.
func (w *Watcher) failed(err error, began time.Time) {
	w.Log.Debug("the slot could not be looked at", "err", err)
	why := trouble(err)
	details := why.Details(0, "")
	w.mu.Lock()
	w.seen.Trouble = &details
	seen, now := w.seen, time.Now()
	w.mu.Unlock()
	last := seen.Checked
	if last.IsZero() {
		last = began
	}
	if unseen := now.Sub(last); unseen >= blindLong {
		w.say(append(seen.Warnings[:len(seen.Warnings):len(seen.Warnings)], Warning{
			Kind: Blind, What: "the slot has not been looked at for " + unseen.Round(time.Second).String(), Why: why.What + ": " + why.Why,
			Fix: "until it can be, nobody warns of a slot that fills the disk; look yourself: SELECT * FROM pg_replication_slots",
		}), now)
	}
}

// trouble is an error without anything of the connection string.
func trouble(err error) *problem.Error {
	var one *problem.Error
	var refused *pgconn.PgError
	switch {
	case errors.As(err, &one):
		return one
	case errors.As(err, &refused):
		return &problem.Error{What: "the slot cannot be looked at", Why: refused.Message}
	}
	return &problem.Error{What: "the slot cannot be looked at", Why: "the connection was lost, or Postgres did not answer in time", Transient: true}
}

func (w *Watcher) say(warnings []Warning, now time.Time) {
	say, over := w.notices.Due(warnings, now)
	for _, warning := range say {
		w.Log.Warn(warning.What, "why", warning.Why, "fix", warning.Fix)
	}
	for _, warning := range over {
		w.Log.Info("a warning of the slot is over", "was", warning.What)
	}
}

// statuses are the values of the label status: Postgres' words, and ours for no slot.
var statuses = []string{"reserved", "extended", "unreserved", "lost", "missing"}

func (w *Watcher) export(r Report) {
	m := w.Metrics
	m.SlotChecked.Set(float64(r.Checked.UnixMilli()) / 1000)
	m.SlotRetained.Set(float64(r.RetainedBytes))
	m.SlotConfirmedLag.Set(float64(r.ConfirmedLagBytes))
	m.SlotInactive.Set(r.InactiveSeconds)
	m.SlotActive.Set(number(r.Active))
	m.SlotSafe.Set(r.safe())
	status := r.WALStatus
	if !r.Exists {
		status = "missing"
	}
	for _, s := range statuses {
		m.SlotStatus.WithLabelValues(s).Set(number(s == status))
	}
	oldest := 0.0
	if r.Oldest != nil {
		oldest = r.Oldest.OpenSeconds
	}
	m.SlotOldest.Set(oldest)
}

// safe is what can be written before the slot is in danger: nothing once it is lost, anything while nothing limits it.
func (r Report) safe() float64 {
	switch {
	case r.SafeBytes != nil:
		return float64(max(0, *r.SafeBytes))
	case r.LimitBytes < 0 && r.WALStatus != "lost":
		return math.Inf(1)
	}
	return 0
}

func number(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// Seen is the last report.
func (w *Watcher) Seen() Seen {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen
}

// ServeHTTP answers with the last report as JSON.
func (w *Watcher) ServeHTTP(rw http.ResponseWriter, _ *http.Request) {
	seen := w.Seen()
	if seen.Checked.IsZero() {
		unseen := &problem.Error{What: "the slot has not been looked at yet", Transient: true}
		if seen.Trouble != nil {
			unseen = seen.Trouble.Error()
		}
		rw.Header().Set("Content-Type", problem.ContentType)
		rw.WriteHeader(http.StatusServiceUnavailable)
		_ = json.NewEncoder(rw).Encode(unseen.Details(http.StatusServiceUnavailable, "")) // a client that hung up
		return
	}
	if seen.Warnings == nil {
		seen.Warnings = []Warning{}
	}
	rw.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(rw).Encode(seen)
}
