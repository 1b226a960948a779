package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// servers is what both servers have used and counted so far.
type servers struct {
	redis, postgres time.Duration // processor time; Postgres' is that of all its processes, and empty where there is no /proc
	changes         int
}

func (b *bench) servers(ctx context.Context) (s servers, err error) {
	info, err := b.keys.InfoMap(ctx, "cpu").Result()
	if err != nil {
		return s, fmt.Errorf("ask Redis for its processor time: %w", err)
	}
	for _, mode := range []string{"used_cpu_sys", "used_cpu_user"} {
		spent, err := time.ParseDuration(info["CPU"][mode] + "s")
		if err != nil {
			return s, fmt.Errorf("read %s of Redis: %w", mode, err)
		}
		s.redis += spent
	}
	if info, err = b.keys.InfoMap(ctx, "persistence").Result(); err != nil {
		return s, fmt.Errorf("ask Redis for its changes: %w", err)
	}
	if s.changes, err = strconv.Atoi(info["Persistence"]["rdb_changes_since_last_save"]); err != nil {
		return s, fmt.Errorf("read the changes of Redis: %w", err)
	}
	s.postgres = familyTime(b.postgres.PID())
	return s, nil
}

// serversSince takes what the servers have used and counted since before.
func (t *Turn) serversSince(ctx context.Context, b *bench, before servers) error {
	now, err := b.servers(ctx)
	t.Redis, t.Server, t.Changes = now.redis-before.redis, now.postgres-before.postgres, now.changes-before.changes
	return err
}

// familyTime is the processor time of a process, of its children, and of those children that have ended.
func familyTime(pid int) (sum time.Duration) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is valid
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has just ended, and is in its parent's account
		}
		stat, ok := parseStat(text)
		switch {
		case ok && stat.pid == pid:
			sum += stat.own + stat.ended
		case ok && stat.parent == pid:
			sum += stat.own
		}
	}
	return sum
}
