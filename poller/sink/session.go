package sink

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"freshet/shared/change"
	"freshet/shared/exchange"
	"freshet/shared/logging"
)

// ErrLost says that Redis no longer has what it had acknowledged; a new session finds out what to do about it.
var ErrLost = errors.New("the sink lost something it had acknowledged")

// ErrRules says that the function has other rules than when the session was opened.
var ErrRules = errors.New("the function's rules have changed")

// ErrFenced says that another session has taken over the sink.
var ErrFenced = errors.New("another session owns the sink")

// Session is one life of a poller against a sink. Safe for concurrent use.
type Session struct {
	ID     string
	Sink   string
	Source change.Source
	Opened exchange.OpenResponse
	fence  bool

	mu        sync.Mutex
	seals     *Seals
	confirmed func()   // an LSN may have become confirmable
	acked     []uint64 // batches, by lane
	notes     map[string]change.Backfill
	kept      []func() // to be called when the notes are in the sink
	carried   []func() // the same, of notes on their way
}

// NewID makes up a session id.
func NewID() string {
	var id [8]byte
	_, _ = rand.Read(id[:]) // never fails, since Go 1.24
	return hex.EncodeToString(id[:])
}

// Unfenced is a session that only counts: for an endpoint that knows nothing of sessions.
func Unfenced(c Config, request exchange.OpenRequest) *Session {
	s := newSession(c, request)
	for _, t := range request.Tables {
		state := change.BackfillOff
		if request.Backfill {
			state = change.BackfillPending
		}
		s.Opened.Backfills[t.Table().String()] = change.Backfill{State: state}
	}
	return s
}

func newSession(c Config, request exchange.OpenRequest) *Session {
	return &Session{
		ID: request.Session, Sink: request.Sink, Source: request.Source, fence: bool(c.Fence),
		Opened: exchange.OpenResponse{Session: request.Session, Found: exchange.FoundCurrent, Backfills: map[string]change.Backfill{}},
		seals:  NewSeals(c.ReplayWindow, request.Confirmed),
		acked:  make([]uint64, request.Lanes),
		notes:  map[string]change.Backfill{},
	}
}

// Open opens a session and waits as long as it takes when the trouble may pass. What a person has to mend is returned as an error
// when strict is set, and else waited for as well.
func Open(ctx context.Context, c Config, client *Client, request exchange.OpenRequest, strict bool, waiting *Waiting, log *slog.Logger) (*Session, error) {
	again := newBackoff(c.RetryMax)
	defer waiting.Over(0)
	for {
		response, a := client.Open(ctx, request)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case a.Outcome == exchange.Settled:
			s := newSession(c, request)
			s.Opened = response
			return s, nil
		case a.Reason == exchange.ReasonForeign, strict && a.Outcome != exchange.Retry:
			return nil, a.Problem
		}
		if waiting.For(0, a.Problem, time.Now()) {
			log.Warn("waiting to open a session", logging.Err, a.Problem)
		}
		wait := max(again.NextBackOff(), a.RetryAfter)
		if a.Outcome != exchange.Retry {
			wait = c.HoldPause
		}
		if err := pause(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// Note asks for a table's backfill state to be stored with the next batch of lane 0. kept, when not nil, is called once it is.
func (s *Session) Note(table change.Table, b change.Backfill, kept func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notes[table.String()] = b
	if kept != nil {
		s.kept = append(s.kept, kept)
	}
}

// fenceFor is the fence of a lane's next batch. Only lane 0 carries notes, so that they arrive in order.
func (s *Session) fenceFor(lane int, seq uint64, through change.Position, seal change.LSN, more map[string]change.Backfill) *change.Fence {
	if !s.fence {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f := &change.Fence{Sink: s.Sink, Session: s.ID, Lane: lane, Seq: seq, After: slices.Clone(s.acked), Through: through, Seal: seal, Backfills: more}
	if lane == 0 && len(s.notes) > 0 {
		f.Backfills = s.notes
		maps.Copy(f.Backfills, more)
		s.notes = map[string]change.Backfill{}
		s.kept, s.carried = nil, append(s.carried, s.kept...)
	}
	return f
}

// placeOf is a fence that only says what the sink must have: the lane's batches up to seq, and what the others had acknowledged.
func (s *Session) placeOf(lane int, seq uint64, through change.Position) *change.Fence {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &change.Fence{Sink: s.Sink, Session: s.ID, Lane: lane, Seq: seq, After: slices.Clone(s.acked), Through: through}
}

// acknowledged records a batch that got its 2xx.
func (s *Session) acknowledged(lane int, seal change.LSN, now time.Time) {
	s.mu.Lock()
	s.acked[lane]++
	s.seals.Acknowledged(seal, now)
	var kept []func()
	if lane == 0 {
		kept, s.carried = s.carried, nil
	}
	s.mu.Unlock()
	for _, call := range kept {
		call()
	}
	if s.confirmed != nil {
		s.confirmed()
	}
}

// OnSeal has f called after every batch that may have moved what is confirmable. Set before delivery begins.
func (s *Session) OnSeal(f func()) { s.confirmed = f }

// Confirmable is the LSN that may be confirmed to Postgres now.
func (s *Session) Confirmable(now time.Time) change.LSN {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seals.Confirmable(now)
}

// Sealed is the highest LSN that the sink knows to be settled.
func (s *Session) Sealed() change.LSN {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seals.Latest()
}

func (s *Session) noted() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.notes) > 0 && s.fence
}

func (s *Session) batchID(lane int, seq uint64) string {
	return fmt.Sprintf("%s/%d/%d", s.ID, lane, seq)
}

// acknowledgedUnfenced lets what is settled become confirmable where no sink keeps seals.
func (s *Session) acknowledgedUnfenced(settled change.LSN, now time.Time) {
	s.mu.Lock()
	s.seals.Acknowledged(settled, now)
	s.mu.Unlock()
	if s.confirmed != nil {
		s.confirmed()
	}
}
