package poller

import (
	"context"
	"errors"
	"fmt"

	"freshet/poller/replication"
	"freshet/shared/change"
	"freshet/shared/problem"
)

// slotMemory is what this process knows of its slot from one life to the next.
type slotMemory struct {
	made     bool                    // by us, and no session has been opened since
	changed  bool                    // the publication, likewise
	since    map[change.Table]uint64 // see backfill.Runner
	sinceOn  int32                   // the timeline of that
	taken    bool                    // by another process, when we wanted it last
	timeline int32                   // of the server that we have streamed from; 0 before that
	// stuck has the server's process that cannot end because we read nothing.
	stuck chan int32
}

// errLetGo ends a life whose stream Postgres wants to end.
var errLetGo = errors.New("the server wants to end the stream, and we read nothing")

// letGo ends the life when Postgres wants to end its stream, to drop or invalidate the slot. While the function is away nothing is read, so we are not
// told; and Postgres does not close a connection before its client has been told.
func (l *life) letGo(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case pid := <-l.slot.stuck:
			if pid == l.stream.PID { // not another poller's, nor that of a life before
				return errLetGo
			}
		}
	}
}

// senderStuck is the guard's word to the life, if there is one.
func (p *Poller) senderStuck(pid int32) {
	select {
	case p.slot.stuck <- pid:
	default:
	}
}

// vanished finds out that a slot is gone which we have streamed from. On another timeline it may never have been: a standby was promoted, which is
// another cause.
func (p *Poller) vanished(s replication.Survey) *problem.Error {
	if s.SlotExists || p.slot.timeline == 0 || p.slot.timeline != s.Timeline {
		return nil
	}
	e := &problem.Error{
		What: fmt.Sprintf("slot %q is gone", p.config.Slot), Why: "it was dropped while this poller ran, and changes since its last confirmed one may be in no stream",
		Fix: "nothing to do: it is made anew, and the rows of all tables are read again", Warning: true,
	}
	if !p.config.repairs(change.CauseSlot) {
		e.Warning = false
		e.Fix = "have slot among the causes of POLLER_REPAIR, so that it is made anew and the rows of all tables are read again; or start the poller as it is, which makes it anew, and then run poller verify --repair"
	}
	return e
}
