package replication

import (
	"context"
	"time"

	"freshet/shared/change"
)

// Progress is what a report says.
type Progress interface {
	Applied() change.LSN // Redis shows nothing older
	Confirmable(now time.Time) change.LSN
}

// Reporter sends status reports on its own clock, whatever the reader and the lanes are waiting for: silence would make the
// server drop the connection after wal_sender_timeout.
type Reporter struct {
	Stream   *Stream
	Progress Progress
	Every    time.Duration
	// Kick asks for a report soon: the server wants one, or a position has moved.
	Kick chan struct{}
	// Seen is told each report.
	Seen func(received, applied, confirmed change.LSN)
}

// reportPace keeps reports of moving positions from becoming a flood: the walsender handles each between two messages.
const reportPace = 5 * time.Millisecond

// Run reports until the context ends or a report fails.
func (r *Reporter) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var last time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-r.Kick:
			if wait := reportPace - time.Since(last); wait > 0 {
				timer.Reset(wait)
				continue
			}
		}
		if err := r.Report(); err != nil {
			return err
		}
		last = time.Now()
		timer.Reset(r.Every)
	}
}

// Report sends one report now.
func (r *Reporter) Report() error {
	received, applied, confirmed := r.Stream.Received(), r.Progress.Applied(), r.Progress.Confirmable(time.Now())
	if err := r.Stream.Report(received, applied, confirmed); err != nil {
		return err
	}
	if r.Seen != nil {
		r.Seen(received, applied, confirmed)
	}
	return nil
}
