package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"freshet/local/stack"
)

// bump counts up the first so many counters, one after the other, until the test ends or stop is called.
func (r *rig) bump(n int) (stop func()) {
	ctx, cancel := context.WithCancel(r.Context())
	db := dial(r.T, world.postgres.Database(r.name))
	var work sync.WaitGroup
	work.Go(func() {
		ticker := time.NewTicker(pace)
		defer ticker.Stop()
		for ctx.Err() == nil {
			<-ticker.C
			if _, err := db.Exec(ctx, "UPDATE counters SET version = version + 1 WHERE id BETWEEN $1 AND $1 + 4", 1+rand.IntN(n)); err != nil && ctx.Err() == nil {
				r.Errorf("bump: %v", err)
				return
			}
		}
	})
	stop = func() { cancel(); work.Wait() }
	r.Cleanup(stop)
	return stop
}

// Keys move to other lanes while their changes come a second time.
func TestLanesChangeBetweenLives(t *testing.T) {
	if testing.Short() {
		t.Skip("takes several seconds")
	}
	t.Parallel()
	const n = 60
	r := newRig(t, "counters", versioned)
	r.exec("INSERT INTO counters SELECT generate_series(1, $1)", n)
	r.start()
	r.wantEqual(patience, "counters")
	watch, stop := r.watchCounters(n), r.bump(n)
	for _, lanes := range []string{"8", "3", "5", "1", "8"} {
		r.kill(r.poller)
		r.pollExtra["POLLER_LANES"] = lanes
		r.launchPoller()
		r.waitReady("http://" + r.adminAddr())
		before := r.text("SELECT sum(version) FROM counters")
		eventually(t, patience, func() error {
			if r.text("SELECT sum(version) > $1::bigint + 500 FROM counters", before) != "true" {
				return errNotYet
			}
			return nil
		})
	}
	stop()
	r.wantEqual(patience, "counters")
	watch.wantForward(500)
}

// A poller that was frozen wakes up when another has the slot: its session is over, and it stands by.
func TestNextSessionFencesTheFrozenOne(t *testing.T) {
	t.Parallel()
	const n = 60
	r := newRig(t, "counters", versioned)
	r.exec("INSERT INTO counters SELECT generate_series(1, $1)", n)
	r.start()
	r.wantEqual(patience, "counters")
	watch, stop := r.watchCounters(n), r.bump(n)
	first, firstAdmin := r.poller, r.adminAddr()
	sender := r.text("SELECT active_pid FROM pg_replication_slots WHERE slot_name = $1", r.name)
	if err := first.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	r.adminPort = stack.FreePort()
	r.launchPoller()
	eventually(t, patience, func() error { // a frozen one does not notice that it is thrown out
		r.text("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_replication WHERE pid = $1::int", sender) // and not that of the second
		status, body, err := fetch("http://" + r.adminAddr() + "/readyz")
		if err == nil && status != 200 {
			err = errors.New(body)
		}
		return err
	})
	if err := first.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, func() error { return saysWhy("http://"+firstAdmin, "standing by") })
	r.waitReady("http://" + r.adminAddr())
	stop()
	r.wantEqual(patience, "counters")
	watch.wantForward(100)
	r.stop(r.poller) // and the first takes over again
	r.waitReady("http://" + firstAdmin)
	r.exec("UPDATE counters SET version = version + 1")
	r.wantEqual(patience, "counters")
}

// Two pollers with a slot each take one sink from each other. One gives up and says what to do; the other goes on.
func TestTwoSlotsOnOneSinkDoNotFightForEver(t *testing.T) {
	t.Parallel()
	const n = 60
	r := newRig(t, "counters", versioned)
	r.pollExtra["POLLER_HEARTBEAT"] = "1s"
	r.exec("INSERT INTO counters SELECT generate_series(1, $1)", n)
	r.start()
	r.wantEqual(patience, "counters")
	stop := r.bump(n)
	first, firstAdmin := r.poller, r.adminAddr()
	r.Cleanup(func() {
		r.onServer("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '" + r.name + "_b'")
	})
	r.adminPort = stack.FreePort()
	r.pollExtra["POLLER_SLOT"] = r.name + "_b"
	r.launchPoller()
	second, secondAdmin := r.poller, r.adminAddr()
	var loser, winner *stack.Process
	var admin string
	eventually(t, 2*patience, func() error {
		switch {
		case !first.Running():
			loser, winner, admin = first, second, secondAdmin
		case !second.Running():
			loser, winner, admin = second, first, firstAdmin
		default:
			return errors.New("both are at it")
		}
		return nil
	})
	r.wantExit(loser, 1)
	for _, says := range []string{"keeps taking over the sink", "POLLER_SINK", "why:", "fix:"} {
		if !strings.Contains(loser.Log(), says) {
			t.Errorf("the one that gave up does not say %q:\n%s", says, loser.Log())
		}
	}
	stop()
	r.waitReady("http://" + admin)
	r.wantEqual(patience, "counters")
	if !winner.Running() {
		t.Error("both gave up")
	}
}

func TestSinkOfAnotherDatabaseIsRefused(t *testing.T) {
	t.Parallel()
	r, other := newRig(t, "counters", versioned), newRig(t, "counters", versioned)
	r.exec("INSERT INTO counters SELECT generate_series(1, 10)")
	r.start()
	r.wantEqual(patience, "counters")

	other.fnPort = r.fnPort
	output, code := runOnce(t, binaries(t).Poller, other.pollerEnv())
	wantReport(t, output, code, 1, "this sink mirrors another database", fmt.Sprintf("%q", r.name), fmt.Sprintf("%q", other.name), "POLLER_SINK", "DEL freshet:freshet:state")
	if v := r.compare("counters"); !v.Equal() {
		t.Errorf("the sink was touched; the judge: %s", v)
	}
	r.exec("UPDATE counters SET version = 7")
	r.wantEqual(patience, "counters") // who was there first is not disturbed

	other.pollExtra["POLLER_SINK"] = "second" // the way out
	other.launchPoller()
	other.waitReady("http://" + other.adminAddr())
	other.exec("INSERT INTO counters VALUES (77, 7)")
	r.wantValue("sequin:counters:77", `{"id":77,"version":7}`)
}
