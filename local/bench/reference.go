package bench

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"time"
)

// receive is the yardstick's turn: pg_recvlogical reads the slot up to end and throws it away.
func (b *bench) receive(ctx context.Context, slot, end string) (t Turn, err error) {
	program := b.postgres.Tool("pg_recvlogical")
	if program == "" {
		return t, errors.New("there is no pg_recvlogical on this machine; it comes with Postgres")
	}
	watch, err := b.watchWalsender(ctx, slot)
	if err != nil {
		return t, err
	}
	began := time.Now()
	out, err := exec.CommandContext(ctx, program, "--dbname", b.postgres.DSN, "--slot", slot, "--start", "--no-loop", "--endpos", end,
		"--file", "/dev/null", "--option", "proto_version=1", "--option", "publication_names=bench").CombinedOutput()
	t.Took = time.Since(began)
	t.Walsender = watch.usage()
	if err != nil {
		return t, fmt.Errorf("pg_recvlogical: %w: %s", err, out)
	}
	return t, nil
}
