package poller

import (
	"context"
	"fmt"
	"time"

	"freshet/poller/backfill"
	"freshet/shared/change"
	"freshet/shared/logging"
)

// receive reads the stream into the lanes until the context ends or the stream does. Keys that are to be cleared go first.
func (l *life) receive(ctx context.Context) error {
	defer context.AfterFunc(ctx, l.stream.Interrupt)()
	if err := l.clear(ctx); err != nil {
		return err
	}
	for {
		event, err := l.stream.Receive()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return err
		}
		switch {
		case event.Data != nil:
			l.metrics.ReceivedBytes.Add(float64(len(event.Data)))
			if err := l.intake.Data(ctx, event.Data); err != nil {
				return fmt.Errorf("at LSN %s: %w", event.LSN, err)
			}
		default:
			l.intake.Keepalive(event.LSN)
			if event.Reply {
				l.kick()
			}
		}
		if l.stream.Drained() {
			l.lanes.Flush()
			var lag time.Duration // none after a keepalive: the server has sent all there was
			if event.Data != nil {
				lag = l.intake.Lag(event.Sent)
			}
			d, busy := l.stream.Rest(time.Now(), lag)
			l.delivery.Pressure(busy, lag)
			if d > 0 {
				time.Sleep(d)
			}
		}
	}
}

// clear removes the keys of tables that the sink marked so, before anything else is sent.
func (l *life) clear(ctx context.Context) error {
	for name, b := range l.session.Load().Opened.Backfills {
		if b.State != change.BackfillClear {
			continue
		}
		layout := l.tables.layouts[name]
		if layout == nil {
			continue // no longer among our tables
		}
		next := cleared(b)
		if l.config.Backfill.Backfill == backfillOff {
			next.State = change.BackfillOff
		}
		l.log.Warn("clearing the keys of a table: Redis lost more than can be streamed again, or the table is another one now", logging.Table, name)
		if err := l.intake.Clear(ctx, layout, next); err != nil {
			return err
		}
	}
	return nil
}

// drain sees what is on its way through, has it sealed, and leaves the rest to the next life.
func (l *life) drain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, l.config.DrainTimeout)
	defer cancel()
	err := l.lanes.Drain(ctx)
	l.delivery.Closing.Store(true)
	for err == nil && bool(l.config.Fence) && l.session.Load().Sealed() < l.tracker.Settled() {
		l.wake()
		err = sleep(ctx, 2*time.Millisecond)
	}
	l.see(ctx)
	attributes := []any{"settled", l.tracker.Settled().String(), "confirmed", l.Confirmable(time.Now()).String()}
	if err != nil {
		l.log.Warn("stopped with batches undelivered; they will be streamed again", append(attributes, logging.Bytes, l.lanes.Bytes())...)
		return
	}
	l.log.Info("stopped; everything that was read is in Redis", attributes...)
}

// see has what is confirmed at the end wait no longer for transactions that everybody sees by now. The runner has ended.
func (l *life) see(ctx context.Context) {
	const patience = time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for !l.recent.Empty() {
		now, err := backfill.CurrentSnapshot(ctx, l.catalog.PgConn())
		if err != nil {
			return // it is streamed again, and skipped
		}
		l.recent.Forget(now)
		if sleep(ctx, 2*time.Millisecond) != nil {
			return
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// watch keeps the gauges, and ends the life when POLLER_EXIT_WHEN_IDLE says so.
func (l *life) watch(ctx context.Context, stop func()) error {
	var target change.LSN // end of the log when we first seemed to be idle
	for {
		if sleep(ctx, 100*time.Millisecond) != nil {
			return nil
		}
		now := time.Now()
		l.gauges(now)
		if l.config.ExitWhenIdle == 0 {
			continue
		}
		if !l.idle(now) {
			target = 0
			continue
		}
		if target == 0 {
			var err error
			if target, err = l.logEnd(ctx); err != nil {
				return l.unlessAsked(ctx, err)
			}
		}
		if l.tracker.Settled() >= target {
			l.log.Info("nothing left to do; exiting", "idle_for", l.config.ExitWhenIdle.String())
			l.finished.Store(true)
			stop()
			return nil
		}
	}
}

func (l *life) idle(now time.Time) bool {
	return l.intake.QuietFor(now) >= l.config.ExitWhenIdle && l.tracker.Idle() && l.runner.Idle()
}

// logEnd is where the write-ahead log ends now. It uses a connection of its own, since the others belong to somebody.
func (l *life) logEnd(ctx context.Context) (change.LSN, error) {
	conn, err := l.connect(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing hangs on it
	var text string
	if err := conn.QueryRow(ctx, "SELECT pg_current_wal_flush_lsn()::text").Scan(&text); err != nil {
		return 0, fmt.Errorf("read the end of the log: %w", err)
	}
	return change.ParseLSN(text)
}

func (l *life) gauges(now time.Time) {
	l.metrics.BufferBytes.Set(float64(l.lanes.Bytes()))
	lag := 0.0
	if at := l.tracker.Waiting(); !at.IsZero() {
		lag = max(0, now.Sub(at).Seconds())
	}
	l.metrics.Lag.Set(lag)
	l.count()
}
