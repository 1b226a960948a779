package bench

import (
	"context"
	"time"
)

// looks is how often memory is looked at on the way, at even distances.
const looks = 10

// memory measures what the programs hold while a transaction goes through that is ten times as large as that of the other workloads.
func (b *bench) memory(ctx context.Context) (Result, error) {
	r := Result{Rows: 10 * b.Rows, Course: &Course{}}
	end, err := b.prepare(ctx, 1, inserted(r.Rows), "freshet")
	if err != nil {
		return r, err
	}
	c := r.Course
	how := manner{compare: b.comparison("*"), seen: func(t *turn, keys int64) {
		if keys >= int64(r.Rows)*int64(len(c.Samples)+1)/looks && len(c.Samples) < looks {
			c.Samples = append(c.Samples, t.sample(time.Since(t.began), int(keys)))
		}
	}}
	err = timed(ctx, turnTimeout, func(ctx context.Context) (err error) {
		c.Turn, err = b.mirror(ctx, slot("freshet", 0), end, how)
		return err
	})
	b.say("%s: poller %s, function %s", Memory, megabytes(c.Poller.Peak), megabytes(c.Fn.Peak))
	return r, err
}

// sample looks at the memory of the poller and of the largest function.
func (t *turn) sample(at time.Duration, rows int) Sample {
	s := Sample{At: at, Rows: rows}
	poller, _ := usageOf(t.poller.PID())
	s.Poller = poller.Resident
	for _, fn := range t.fns {
		u, _ := usageOf(fn.PID())
		s.Fn = max(s.Fn, u.Resident)
	}
	return s
}
