package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"freshet/local/server/child"
)

// PostgresOptions says what Postgres to run.
type PostgresOptions struct {
	Dir    string // data directory; "" makes one that Close removes. One that holds a cluster is used as it is.
	BinDir string // folder of the programs; "" finds the newest
	// Fsync makes commits survive a crash of the machine. Benchmarks want it to be honest, tests do without.
	Fsync    bool
	Settings map[string]string // for postgresql.conf, on top of ours
	Log      io.Writer         // the server's log; nil keeps only its end, for errors
}

// Postgres is a throw-away server.
type Postgres struct {
	DSN         string // of the database postgres
	Port        int
	Dir, BinDir string

	settings map[string]string
	log      io.Writer
	account  *child.Account
	process  *child.Child
	scratch  *Scratch // nil when Dir is the caller's
}

// startTimeout is ample for a start with recovery; stopTimeout for a shutdown with its checkpoint.
const startTimeout, stopTimeout = 60 * time.Second, 60 * time.Second

// settingsFile is ours, included by postgresql.conf, so that ALTER SYSTEM still has the last word.
const settingsFile = "freshet.conf"

// StartPostgres makes a cluster and starts it. It returns when the server accepts connections.
func StartPostgres(ctx context.Context, o PostgresOptions) (*Postgres, error) {
	p, err := newPostgres(o)
	if err != nil {
		return nil, err
	}
	if err := p.create(ctx); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	if err := p.startOnFreePort(ctx); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

func newPostgres(o PostgresOptions) (*Postgres, error) {
	p := &Postgres{Dir: o.Dir, BinDir: o.BinDir, log: o.Log, settings: settings(o)}
	if p.BinDir == "" {
		if p.BinDir, _ = findPostgres(); p.BinDir == "" {
			return nil, missingPostgres()
		}
	}
	var err error
	if p.account, err = child.Unprivileged("postgres", "nobody"); err != nil {
		return nil, fmt.Errorf("postgres does not run as root: %w", err)
	}
	if p.Dir == "" {
		if p.scratch, err = NewScratch(); err != nil {
			return nil, err
		}
		p.Dir = filepath.Join(p.scratch.Path, "data")
	}
	return p, nil
}

// settings is our configuration under the caller's. synchronous_commit stays on even without fsync: with it off, a
// change waits for the WAL writer's next round before the walsender sees it.
func settings(o PostgresOptions) map[string]string {
	ours := map[string]string{
		"listen_addresses":        "127.0.0.1",
		"unix_socket_directories": "",
		"wal_level":               "logical",
		"max_replication_slots":   "64",
		"max_wal_senders":         "64",
		"max_wal_size":            "2GB",
		"max_slot_wal_keep_size":  "32GB", // a slot that a test forgot must not fill the disk
		"synchronous_commit":      "on",
		"fsync":                   strconv.FormatBool(o.Fsync),
		"full_page_writes":        strconv.FormatBool(o.Fsync),
		"huge_pages":              "off",
	}
	maps.Copy(ours, o.Settings)
	return ours
}

// create runs initdb, unless the directory has a cluster already.
func (p *Postgres) create(ctx context.Context) error {
	if _, err := os.Stat(filepath.Join(p.Dir, "PG_VERSION")); err == nil {
		return nil
	}
	if err := os.MkdirAll(p.Dir, 0o700); err != nil {
		return fmt.Errorf("make the data directory: %w", err)
	}
	if err := errors.Join(p.account.Reach(p.Dir), p.account.Own(p.Dir)); err != nil {
		return fmt.Errorf("give the data directory to account %s: %w", p.account.Name, err)
	}
	spec := p.spec("initdb", "-D", p.Dir, "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
	if err := child.Run(ctx, spec); err != nil {
		return fmt.Errorf("make a cluster: %w", err)
	}
	return p.include()
}

func (p *Postgres) include() error {
	conf, err := os.OpenFile(filepath.Join(p.Dir, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("configure the cluster: %w", err)
	}
	_, err = fmt.Fprintf(conf, "include_if_exists = '%s'\n", settingsFile)
	return errors.Join(err, conf.Close())
}

func (p *Postgres) spec(program string, args ...string) child.Spec {
	return child.Spec{
		Path: filepath.Join(p.BinDir, program), Args: args, Dir: "/", Log: p.log, Account: p.account,
		Env:        []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"},
		OnOurDeath: syscall.SIGQUIT, // Postgres' immediate shutdown, which also takes its own children along
	}
}

// startOnFreePort tries again when another program took the port between our finding and Postgres' using it.
func (p *Postgres) startOnFreePort(ctx context.Context) (err error) {
	const attempts = 3
	for range attempts {
		if p.Port, err = FreePort(); err != nil {
			return err
		}
		p.DSN = p.Database("postgres")
		if err = p.Start(ctx); err == nil || !strings.Contains(err.Error(), "in use") {
			return err
		}
	}
	return err
}

// Start starts the server again after Stop: same directory, same port. It returns when the server accepts connections.
func (p *Postgres) Start(ctx context.Context) error {
	if p.Running() {
		return nil
	}
	if err := p.configure(); err != nil {
		return err
	}
	process, err := child.Start(p.spec("postgres", "-D", p.Dir))
	if err != nil {
		return err
	}
	p.process = process
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := until(ctx, process, p.ping); err != nil {
		process.Kill()
		return fmt.Errorf("start Postgres in %s: %w\n%s", p.Dir, err, process.Log())
	}
	return nil
}

func (p *Postgres) configure() error {
	var b strings.Builder
	fmt.Fprintf(&b, "port = %d\n", p.Port)
	for _, name := range slices.Sorted(maps.Keys(p.settings)) {
		fmt.Fprintf(&b, "%s = '%s'\n", name, strings.ReplaceAll(p.settings[name], "'", "''"))
	}
	if err := os.WriteFile(filepath.Join(p.Dir, settingsFile), []byte(b.String()), 0o644); err != nil {
		return fmt.Errorf("configure Postgres: %w", err)
	}
	return nil
}

func (p *Postgres) ping(ctx context.Context) error {
	conn, err := pgconn.Connect(ctx, p.DSN)
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

// until calls ready until it succeeds, the process ends or ctx does.
func until(ctx context.Context, process *child.Child, ready func(context.Context) error) error {
	const pause = 10 * time.Millisecond
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-process.Done():
			return errors.New("it ended at once")
		case <-ctx.Done():
			return fmt.Errorf("it is not ready: %w", err)
		case <-time.After(pause):
		}
	}
}

// Database is the DSN of another database of this server.
func (p *Postgres) Database(name string) string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s?sslmode=disable", p.Port, name)
}

// Tool is the path of a client program such as psql or pgbench; empty when there is none.
func (p *Postgres) Tool(name string) string { return tool(p.BinDir, name) }

// Running says whether the server's process is there.
func (p *Postgres) Running() bool { return p.process != nil && p.process.Running() }

// PID is the id of the server's first process, 0 when there is none.
func (p *Postgres) PID() int {
	if p.process == nil {
		return 0
	}
	return p.process.PID()
}

// Log is the end of the server's log.
func (p *Postgres) Log() string {
	if p.process == nil {
		return ""
	}
	return p.process.Log()
}

// stopSignals are the modes of pg_ctl stop. https://www.postgresql.org/docs/current/server-shutdown.html
var stopSignals = map[string]syscall.Signal{"smart": syscall.SIGTERM, "fast": syscall.SIGINT, "immediate": syscall.SIGQUIT}

// Stop stops the server: "fast" ends all connections in order, "immediate" is a crash, "smart" waits for clients. The
// directory stays.
func (p *Postgres) Stop(mode string) error {
	signal, ok := stopSignals[mode]
	if !ok {
		return fmt.Errorf("stop Postgres: mode %q is none of fast, immediate, smart", mode)
	}
	if !p.Running() {
		return nil
	}
	if err := p.process.Signal(signal); err != nil {
		return err
	}
	if _, err := p.process.Wait(stopTimeout); err != nil {
		return fmt.Errorf("stop Postgres (%s): %w", mode, err)
	}
	return nil
}

// Close stops the server at once and removes its directory if StartPostgres made it.
func (p *Postgres) Close() error {
	err := p.Stop("immediate")
	if p.process != nil {
		p.process.Kill()
	}
	if p.scratch != nil {
		err = errors.Join(err, p.scratch.Remove())
	}
	return err
}
