package poller

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"freshet/poller/ack"
	"freshet/poller/backfill"
	"freshet/poller/intake"
	"freshet/poller/lane"
	"freshet/poller/replication"
	"freshet/poller/sink"
	"freshet/shared/change"
	"freshet/shared/exchange"
	"freshet/shared/logging"
	"freshet/shared/problem"
)

// life is one replication connection and one session, from connecting to the last report. Whatever goes wrong ends it, and the next
// life finds out from the slot and from Redis where things are.
type life struct {
	*Poller
	asked context.Context // done when a stop was asked for

	connections
	survey   replication.Survey
	surveyed time.Time
	tables   tables

	stream    *replication.Stream
	reporter  *replication.Reporter
	confirmed change.LSN
	horizon   backfill.Snapshot
	session   atomic.Pointer[sink.Session]
	tracker   *ack.Tracker
	lanes     *lane.Set
	delivery  *sink.Delivery
	intake    *intake.Intake
	runner    *backfill.Runner
	recent    *backfill.Recent
	audit     *backfill.Verification // nil when there is none
	audited   exchange.Tally         // what is in the metrics
	repaired  int64                  // the same
	awaited   atomic.Bool            // commits wait for what we confirm
	nudge     chan struct{}
	finished  atomic.Bool // idle for long enough
}

// live is one life. It returns nil when it ended because a stop was asked for or there was nothing left to do.
func (p *Poller) live(ctx context.Context) error {
	l := &life{Poller: p, asked: ctx, nudge: make(chan struct{}, 1)}
	defer l.close()
	err := l.connectAll(ctx)
	if l.slot.taken = errors.Is(err, replication.ErrSlotInUse); err != nil {
		return err
	}
	return l.run()
}

func (l *life) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	l.hangUp(ctx)
	l.metrics.Connected.Set(0)
}

// connectAll examines the source, makes what is missing, and acquires the slot. Meanwhile the other connections are opened, and whether that has worked is
// looked at afterwards: what the preflight finds explains it better. A poller that stands by opens them only when the slot may be free, as it
// looks every second.
func (l *life) connectAll(ctx context.Context) (err error) {
	if l.catalog, err = l.connect(ctx); err != nil {
		return err
	}
	if !l.slot.taken {
		l.openOthers(ctx, l.Poller)
	}
	l.surveyed = time.Now()
	var shapes []exchange.TableShape
	if l.survey, shapes, err = l.preflight(ctx, l.catalog); err != nil {
		return err
	}
	l.tables = newTables(l.survey.Tables)
	l.tables.shapes = shapes
	source := l.config.Source.Config
	made, err := replication.Prepare(ctx, l.catalog, source, l.survey, l.log)
	if err != nil {
		return err
	}
	l.slot.made = l.slot.made || made
	l.slot.changed = l.slot.changed || len(l.survey.Unpublished) > 0 || len(l.survey.Refiltered) > 0
	if l.slot.taken {
		if l.survey.SlotActive && !made {
			return replication.ErrSlotInUse
		}
		l.openOthers(ctx, l.Poller)
	}
	if err := l.acquire(ctx); err != nil {
		return err
	}
	if err := l.afterConnect(ctx, source); err != nil {
		return errors.Join(err, l.stream.Close())
	}
	return nil
}

// acquire starts the stream.
func (l *life) acquire(ctx context.Context) (err error) {
	l.opening.Wait()
	if l.failed.sender != nil {
		return l.failed.sender
	}
	if l.stream, err = l.sender.Start(ctx); err != nil {
		return err
	}
	l.slot.timeline = l.stream.Timeline
	return nil
}

func (l *life) afterConnect(ctx context.Context, source replication.Config) (err error) {
	if l.failed.rows != nil {
		return l.failed.rows
	}
	if l.failed.marks != nil {
		return l.failed.marks
	}
	// Taken before the first row of the stream is looked at, so that every page's snapshot is newer.
	if l.horizon, err = backfill.CurrentSnapshot(ctx, l.rows.PgConn()); err != nil {
		return err
	}
	if l.confirmed, err = replication.Confirmed(ctx, l.catalog, source.Slot); err != nil {
		return err
	}
	l.reporter = &replication.Reporter{Stream: l.stream, Progress: l, Every: l.survey.StatusInterval(source.StatusEvery), Kick: make(chan struct{}, 1), Seen: l.seen}
	return nil
}

// run opens the session and streams, while reports go out on their own clock.
func (l *life) run() error {
	g, work := errgroup.WithContext(context.WithoutCancel(l.asked))
	reporting, stopReporting := context.WithCancel(work)
	g.Go(func() error { return l.reporter.Run(reporting) })
	g.Go(func() error { return l.letGo(reporting) })
	g.Go(func() error {
		defer stopReporting()
		return l.mirror(work)
	})
	err := g.Wait()
	if err == nil {
		err = l.reporter.Report()
	}
	return errors.Join(err, ignoreClosed(err, l.stream.Close()))
}

// ignoreClosed drops the error of closing a connection that was broken already.
func ignoreClosed(broken, err error) error {
	if broken != nil {
		return nil
	}
	return err
}

// mirror is the session: it ends when a stop is asked for, or with the error that ended it.
func (l *life) mirror(work context.Context) error {
	reading, stopReading := context.WithCancel(work)
	defer stopReading()
	defer context.AfterFunc(l.asked, stopReading)()

	if err := l.open(reading); err != nil {
		return l.unlessAsked(work, err)
	}
	delivering, stopDelivering := context.WithCancel(work)
	defer stopDelivering()
	g, gone := errgroup.WithContext(delivering)
	defer context.AfterFunc(gone, stopReading)()
	g.Go(func() error { return l.unlessAsked(work, l.delivery.Run(gone)) })
	g.Go(func() error { return l.unlessAsked(work, l.runner.Run(reading)) })
	g.Go(func() error { return l.watch(reading, stopReading) })
	g.Go(func() error {
		err := l.receive(reading)
		if gone.Err() != nil || reading.Err() == nil {
			return err // something broke, here or elsewhere
		}
		l.drain(gone)
		stopDelivering()
		return nil
	})
	l.health.Streaming()
	l.operator.serve(l)
	defer l.operator.leave(l)
	return g.Wait()
}

// unlessAsked drops the errors that come of stopping on purpose.
func (l *life) unlessAsked(work context.Context, err error) error {
	if work.Err() == nil && (l.asked.Err() != nil || l.finished.Load()) {
		return nil
	}
	return err
}

// open opens the session and builds what runs in it.
func (l *life) open(ctx context.Context) error {
	source := change.Source{System: l.stream.System, Timeline: l.stream.Timeline, Database: l.stream.Database, Slot: l.config.Slot}
	request := exchange.OpenRequest{
		Sink: l.config.Sink.Sink, Session: sink.NewID(), Source: source, Lanes: l.config.Lanes.Lanes, Confirmed: l.confirmed,
		Backfill: l.config.Backfill.Backfill == backfillInitial, Tables: l.tables.shapes,
		NewSlot: l.slot.made, Repair: l.config.Causes(),
	}
	session, err := l.openSession(ctx, request)
	if err != nil {
		return err
	}
	if !l.slot.made { // whose making waited for all transactions
		if err := l.joined(ctx); err != nil {
			return err
		}
	}
	l.slot.made, l.slot.changed = false, false // the sink knows of it now
	l.log.Info("session opened", logging.Session, session.ID, logging.Sink, session.Sink, "found", string(session.Opened.Found), logging.LSN, l.confirmed.String())
	l.tell(session.Opened.Repairs)
	for _, table := range session.Opened.Abandoned {
		l.log.Warn("keys of a table are not followed any more", logging.Table, table, "why", "POLLER_TABLES does not name it, or it was dropped or renamed",
			"fix", "name it again; or remove its keys by posting a truncate of it to the function, as local/batches/4-truncate.json does")
	}
	l.metrics.Sessions.WithLabelValues(string(session.Opened.Found)).Inc()
	l.tables.plan = session.Opened.Plan
	if err := l.identities(); err != nil {
		return err
	}
	if err := l.narrow(ctx); err != nil {
		return err
	}
	l.started = true
	return l.build(ctx, session)
}

func (l *life) openSession(ctx context.Context, request exchange.OpenRequest) (*sink.Session, error) {
	if !l.config.Fence {
		request.Backfill = request.Backfill && l.slot.made // nothing remembers that it was done
		return sink.Unfenced(l.config.Sink.Config, request), nil
	}
	l.health.Not(&problem.Error{What: "waiting to open a session", Why: "the function has not answered yet"}, time.Now())
	return sink.Open(ctx, l.config.Sink.Config, l.client, request, !l.started, l.waiting, l.log)
}

func (l *life) build(ctx context.Context, session *sink.Session) error {
	l.tracker = ack.NewTracker(l.config.Lanes.Lanes, l.confirmed, l.moved)
	l.lanes = lane.NewSet(l.config.Lanes.Limits, l.tracker.Opened)
	l.lanes.Short = session.Opened.Short
	l.delivery = &sink.Delivery{
		Config: l.config.Sink.Config, Client: l.client, Session: session, Lanes: l.lanes, Tracker: l.tracker,
		Recorder: l.recorder, Waiting: l.waiting, Metrics: l.metrics, Log: l.log, Nudge: l.nudge,
	}
	session.OnSeal(l.kick)
	pages, refetch := &backfill.Pages{}, backfill.NewRefetch()
	l.recent = backfill.NewRecent(l.horizon)
	l.intake = &intake.Intake{
		Session: session.ID, Lanes: l.lanes, Tracker: l.tracker, Pages: pages, Recent: l.recent, Refetch: refetch,
		Layout: l.layout, Metrics: l.metrics, Log: l.log,
	}
	l.intake.Begin(session.Opened)
	tasks, err := l.tasks(ctx, session.Opened.Backfills)
	if err != nil {
		return err
	}
	l.operator.begin(l.tables, session.Opened.Backfills)
	runner := &backfill.Runner{
		Conn: l.rows.PgConn(), Marks: l.marks.PgConn(), Session: session.ID, Sink: session.Sink, Tasks: tasks, Layouts: l.tables.layouts, Shapes: l.tables.shapesByName(), Plan: l.tables.plan,
		Since: l.slot.since, Limits: l.config.Backfill.Limits, Batches: l.lanes.Len() * l.lanes.LotMessages(), Pages: pages, Recent: l.recent, Refetch: refetch,
		Note: l.note, Told: l.operator.told, Filled: l.operator.filled, Read: l.read, Pruned: l.kick, Log: l.log, Inspect: l.inspect,
	}
	if l.lanes.Short {
		runner.Deal = backfill.Deal{Lanes: l.lanes.Len(), Of: l.lanes.Number, Body: l.lanes.Body}
	}
	if l.config.Fence {
		runner.Keys = sink.Keys{Client: l.client, Config: l.config.Sink.Config}
	}
	l.runner = runner.Prepare()
	l.operator.resume(l.runner)
	l.beginAudit()
	l.session.Store(session) // from here on reports tell of its progress
	return nil
}

// note stores a table's backfill state and sees that it goes out.
func (l *life) note(t change.Table, b change.Backfill, kept func()) {
	l.session.Load().Note(t, b, kept)
	l.wake()
}

// inspect looks whether everything is still what it was when the life began. When the first page is to be read that was mostly just now, and nothing is
// asked again; unless commits may wait for us, which is known only once the stream runs.
func (l *life) inspect(ctx context.Context) error {
	if time.Since(l.surveyed) < time.Second && !l.survey.Synchronous {
		return nil
	}
	if err := l.unaltered(ctx, l.rows); err != nil {
		return err
	}
	awaited, err := replication.Awaited(ctx, l.rows, l.config.Slot)
	l.awaited.Store(awaited)
	return err
}

func (l *life) read(t change.Table, rows int) {
	l.metrics.BackfillRows.WithLabelValues(t.String()).Add(float64(rows))
}

// moved is called when more is settled or applied: it may be sealed, and reported.
func (l *life) moved() {
	l.wake()
	l.kick()
}

func (l *life) wake() { offer(l.nudge) }

func (l *life) kick() { offer(l.reporter.Kick) }

// offer sends unless something waits to be received already.
func offer(to chan<- struct{}) {
	select {
	case to <- struct{}{}:
	default:
	}
}

// Applied is what Redis shows. While no session is open that is what was confirmed.
func (l *life) Applied() change.LSN {
	if l.session.Load() == nil {
		return l.confirmed
	}
	return l.tracker.Applied()
}

// Confirmable is what may be confirmed to Postgres. A transaction that is in the log and that a snapshot may not see yet, because a standby is
// late with its answer, must be streamed again after a crash: a page of the next life may miss it, and only the stream tells which rows it
// touched. Where commits wait for what we confirm, that would be a circle.
func (l *life) Confirmable(now time.Time) change.LSN {
	s := l.session.Load()
	if s == nil {
		return l.confirmed
	}
	lsn := s.Confirmable(now)
	hidden, ok := l.recent.Hidden()
	if !ok || lsn <= hidden || l.awaited.Load() {
		return lsn
	}
	l.runner.Refresh()
	return hidden
}

func (l *life) seen(received, applied, confirmed change.LSN) {
	l.metrics.ReceivedLSN.Set(float64(received))
	l.metrics.SettledLSN.Set(float64(applied))
	l.metrics.ConfirmedLSN.Set(float64(confirmed))
	l.metrics.Connected.Set(1)
}
