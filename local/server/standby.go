package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/jackc/pgx/v5/pgconn"

	"freshet/local/server/child"
)

// StartStandby copies the running server and starts the copy as its physical standby. It returns when the standby accepts connections.
func (p *Postgres) StartStandby(ctx context.Context) (*Postgres, error) {
	program := p.Tool("pg_basebackup")
	if program == "" {
		return nil, errors.New("there is no pg_basebackup on this machine")
	}
	s, err := newPostgres(PostgresOptions{BinDir: p.BinDir, Log: p.log, Settings: p.settings})
	if err != nil {
		return nil, err
	}
	if err := s.copyOf(ctx, p, program); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if err := s.startOnFreePort(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// copyOf fills the data directory; the copy knows its primary (-R).
func (p *Postgres) copyOf(ctx context.Context, primary *Postgres, program string) error {
	if err := os.MkdirAll(p.Dir, 0o700); err != nil {
		return fmt.Errorf("make the data directory: %w", err)
	}
	if err := errors.Join(p.account.Reach(p.Dir), p.account.Own(p.Dir)); err != nil {
		return fmt.Errorf("give the data directory to account %s: %w", p.account.Name, err)
	}
	spec := p.spec(filepath.Base(program), "-d", primary.DSN, "-D", p.Dir, "-R", "-X", "stream", "--checkpoint=fast", "--no-sync")
	spec.Path = program
	if err := child.Run(ctx, spec); err != nil {
		return fmt.Errorf("copy the server on port %d: %w", primary.Port, err)
	}
	return nil
}

// Promote makes a standby a server of its own, on a new timeline. It returns when the server takes writes.
func (p *Postgres) Promote(ctx context.Context) error {
	conn, err := pgconn.Connect(ctx, p.DSN)
	if err != nil {
		return fmt.Errorf("promote the standby on port %d: %w", p.Port, err)
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing hangs on it
	result := conn.ExecParams(ctx, "SELECT pg_promote(true, 60)", nil, nil, nil, nil).Read()
	switch {
	case result.Err != nil:
		return fmt.Errorf("promote the standby on port %d: %w", p.Port, result.Err)
	case string(result.Rows[0][0]) != "t":
		return fmt.Errorf("promote the standby on port %d: it still follows its primary", p.Port)
	}
	return nil
}
