// Package demo is make run: servers, the shop, the function and the poller, started in this order, watched, and stopped in the
// opposite one.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"freshet/local/server"
	"freshet/local/stack"
	"freshet/shared/exchange"
)

// Options are the choices of make run.
type Options struct {
	Rate     int           // the shop's transactions a second
	Duration time.Duration // 0: until interrupted
	// Running is a file that tells make psql and make redis where the servers are; "" writes none.
	Running string
}

// Demo is a running stack.
type Demo struct {
	out     *display
	options Options
	place   place

	scratch  *server.Scratch
	postgres *server.Postgres // nil when it is not ours
	redis    *server.Redis    // nil when it is not ours
	shop     *stack.Shop      // nil when nobody sells
	programs []*stack.Process // in the order of their start
	meter    *meter
}

// Run starts everything, shows what moves until ctx ends, and stops everything. A program that dies is an error.
func Run(ctx context.Context, out io.Writer, o Options) (err error) {
	place, err := placeFromEnvironment()
	if err != nil {
		return err
	}
	d := &Demo{out: newDisplay(out), options: o, place: place}
	defer func() { err = errors.Join(err, d.stop()) }()
	if err := d.start(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // interrupted while starting: no error
		}
		return err
	}
	return d.watch(ctx)
}

func (d *Demo) start(ctx context.Context) (err error) {
	if err := d.startServers(ctx); err != nil {
		return err
	}
	d.out.step("building both programs")
	binaries, err := stack.Build(ctx, d.scratch.Path, stack.Quick)
	if err != nil {
		return err
	}
	if err := d.launch(ctx, "function", binaries.Fn, d.place.functionEnv(), d.place.functionURL()+exchange.RouteReady); err != nil {
		return err
	}
	if err := d.launch(ctx, "poller", binaries.Poller, d.place.pollerEnv(), d.place.adminURL()+exchange.RouteReady); err != nil {
		return err
	}
	if d.meter, err = newMeter(ctx, d.place, d.shop); err != nil {
		return err
	}
	d.introduce()
	return d.leaveWord()
}

// startServers brings what the environment does not name.
func (d *Demo) startServers(ctx context.Context) (err error) {
	if d.scratch, err = server.NewScratch(); err != nil {
		return err
	}
	if d.place.database == "" || d.place.redis == "" {
		if err := server.Ensure(ctx, d.out); err != nil {
			return err
		}
	}
	if d.place.database == "" {
		if err := d.startPostgres(ctx); err != nil {
			return err
		}
	}
	if d.place.redis == "" {
		d.out.step("starting a throw-away Redis")
		if d.redis, err = server.StartRedis(ctx, server.RedisOptions{}); err != nil {
			return err
		}
		d.place.redis = d.redis.URL
	}
	if d.place.sells {
		d.out.step("opening the shop")
		d.shop, err = stack.OpenShop(ctx, d.place.database)
	}
	return err
}

func (d *Demo) startPostgres(ctx context.Context) (err error) {
	d.out.step("starting a throw-away Postgres")
	if d.postgres, err = server.StartPostgres(ctx, server.PostgresOptions{}); err != nil {
		return err
	}
	d.place.database = d.postgres.DSN
	return nil
}

// launch starts a program and waits until it is ready, or dead.
func (d *Demo) launch(ctx context.Context, name, bin string, env map[string]string, ready string) error {
	d.out.step("starting the " + name)
	p, err := stack.Start(context.WithoutCancel(ctx), name, bin, env, d.out.warnings(name))
	if err != nil {
		return err
	}
	d.programs = append(d.programs, p)
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-p.Done():
			cancel()
		case <-waiting.Done():
		}
	}()
	if err := stack.WaitReady(waiting, ready); err != nil {
		if !p.Running() {
			return d.obituary(p)
		}
		return err
	}
	return nil
}

// watch shows a line a second, until ctx ends or a program does.
func (d *Demo) watch(ctx context.Context) error {
	if d.options.Duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d.options.Duration)
		defer cancel()
	}
	g, ctx := errgroup.WithContext(ctx)
	if d.shop != nil {
		g.Go(func() error { return d.shop.Sell(ctx, d.options.Rate) })
	}
	for _, p := range d.programs {
		g.Go(func() error { return d.guard(ctx, p) })
	}
	g.Go(func() error { return d.show(ctx) })
	return g.Wait()
}

func (d *Demo) guard(ctx context.Context, p *stack.Process) error {
	select {
	case <-ctx.Done():
		return nil
	case <-p.Done():
		return d.obituary(p)
	}
}

func (d *Demo) show(ctx context.Context) error {
	d.out.begin(d.meter.read(ctx))
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if r := d.meter.read(ctx); ctx.Err() == nil {
				d.out.row(r)
			}
		}
	}
}

// obituary says how a program ended, with its last words.
func (d *Demo) obituary(p *stack.Process) error {
	const words = 15
	return fmt.Errorf("the %s ended (%s); it said last:\n%s", p.Name, p.Ending(), lastLines(p.Log(), words))
}

// stop ends everything in the opposite order of its start.
func (d *Demo) stop() (err error) {
	d.out.step("stopping")
	if d.meter != nil {
		d.meter.close()
	}
	if d.shop != nil {
		err = errors.Join(err, d.shop.Close())
	}
	for i := len(d.programs) - 1; i >= 0; i-- {
		err = errors.Join(err, end(d.programs[i]))
	}
	if d.redis != nil {
		err = errors.Join(err, d.redis.Close())
	}
	if d.postgres != nil {
		err = errors.Join(err, d.postgres.Close())
	}
	if d.scratch != nil {
		err = errors.Join(err, d.scratch.Remove())
	}
	if d.options.Running != "" {
		_ = os.Remove(d.options.Running) // it was never written if we did not come so far
	}
	d.farewell()
	return err
}

// end asks a program to stop and insists after a while.
func end(p *stack.Process) error {
	const patience = 30 * time.Second
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	_, err := p.Wait(patience)
	if err != nil {
		p.Kill()
	}
	return err
}

// leaveWord writes where the servers are, for make psql and make redis.
func (d *Demo) leaveWord() error {
	if d.options.Running == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(d.options.Running), 0o755); err != nil {
		return err
	}
	text := fmt.Sprintf("DATABASE_URL='%s'\nREDIS_URL='%s'\n", d.place.database, d.place.redis)
	return os.WriteFile(d.options.Running, []byte(text), 0o600)
}
