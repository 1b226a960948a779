package redisstore

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"freshet/functions/effect"
)

// comparedBytes bounds, beside pipelined, how many values are held at a time: those that are expected are not longer than a body.
const comparedBytes = 1 << 20

// Compare says of each write how its key stands, and changes nothing. With a fence it then looks whether the state is still that of the
// fence: whatever damage there was while the keys were read, it shows there, as an *effect.Refusal.
func (s *Store) Compare(ctx context.Context, b *effect.Batch) ([]effect.Standing, error) {
	c := &comparison{Store: s, writes: b.Writes, standings: make([]effect.Standing, len(b.Writes))}
	for from := 0; from < len(b.Writes); {
		to := c.chunk(from)
		if err := c.read(ctx, from, to); err != nil {
			return nil, s.trouble(err)
		}
		from = to
	}
	if err := c.resolve(ctx); err != nil {
		return nil, s.trouble(err)
	}
	if b.Fence == nil {
		return c.standings, nil
	}
	return c.standings, s.unmoved(ctx, b.Fence)
}

// comparison is one run of Compare.
type comparison struct {
	*Store
	writes    []effect.Write
	standings []effect.Standing
	asked     []int // writes whose keys it is enough to ask for: nothing should be there, or no string is
}

// chunk is where the round trip ends that begins with the write from.
func (c *comparison) chunk(from int) (to int) {
	size := 0
	for to = from; to < len(c.writes) && to-from < pipelined && size < comparedBytes; to++ {
		size += len(c.writes[to].Value)
	}
	return to
}

// read compares what is at the keys with what should be.
func (c *comparison) read(ctx context.Context, from, to int) error {
	call := calls.Get().(*call)
	defer call.release()
	call.args = append(call.args[:0], "MGET")
	for i := from; i < to; i++ {
		if !c.writes[i].Delete {
			call.args = append(call.args, &c.writes[i].Key)
		}
	}
	values := redis.NewSliceCmd(ctx, call.args...)
	if len(call.args) > 1 {
		if err := c.client.Process(ctx, values); err != nil {
			return err
		}
	}
	return c.judge(from, to, values.Val(), len(call.args)-1)
}

// judge goes through the answers in the order of the writes.
func (c *comparison) judge(from, to int, values []any, want int) error {
	if len(values) != want {
		return fmt.Errorf("asked for %d keys, Redis answered for %d", want, len(values))
	}
	for i := from; i < to; i++ {
		w := &c.writes[i]
		if w.Delete {
			c.asked = append(c.asked, i)
			continue
		}
		switch value, there := values[0].(string); {
		case !there:
			c.asked = append(c.asked, i) // nothing, or no string
		case value != w.Value:
			c.standings[i] = effect.Stale
		}
		values = values[1:]
	}
	return nil
}

// resolve tells keys that are there, whatever they hold, from those that are not. Mostly none is, which one command can say of many.
func (c *comparison) resolve(ctx context.Context) error {
	for len(c.asked) > 0 {
		some := c.asked[:min(pipelined, len(c.asked))]
		c.asked = c.asked[len(some):]
		there, err := c.exist(ctx, some)
		if err != nil {
			return err
		}
		for n, i := range some {
			c.standings[i] = standing(&c.writes[i], there != nil && there[n])
		}
	}
	return nil
}

// exist answers nil when none of the keys is there.
func (c *comparison) exist(ctx context.Context, some []int) ([]bool, error) {
	call := calls.Get().(*call)
	defer call.release()
	call.args = append(call.args[:0], "EXISTS")
	for _, i := range some {
		call.args = append(call.args, &c.writes[i].Key)
	}
	count := redis.NewIntCmd(ctx, call.args...)
	if err := c.client.Process(ctx, count); err != nil || count.Val() == 0 {
		return nil, err
	}
	found, err := c.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, i := range some {
			p.Exists(ctx, c.writes[i].Key)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	there := make([]bool, len(some))
	for n := range there {
		there[n] = found[n].(*redis.IntCmd).Val() > 0
	}
	return there, nil
}

// standing is that of a key with no string, or one where nothing should be.
func standing(w *effect.Write, there bool) effect.Standing {
	switch {
	case w.Delete && there:
		return effect.Orphan
	case w.Delete:
		return effect.Match
	case there:
		return effect.Stale
	case w.ExpireMS > 0, w.IfThere:
		return effect.Absent
	}
	return effect.Missing
}

// unmoved wants the state to be what the fence says: the session, its lane's last batch, and all that other lanes have had acknowledged.
func (s *Store) unmoved(ctx context.Context, f *fence) error {
	names := []string{sessionField, sealedField, laneField + strconv.Itoa(f.Lane)}
	for lane := range f.After {
		names = append(names, laneField+strconv.Itoa(lane))
	}
	found, err := s.client.HMGet(ctx, stateKey(f.Sink), names...).Result()
	if err != nil {
		return s.trouble(err)
	}
	if verdict := verdictOf(f, found); verdict != "" {
		return refusal(f, verdict)
	}
	return nil
}

// verdictOf reads the fields that unmoved asks for, as fence.lua does.
func verdictOf(f *fence, found []any) string {
	session, known := found[0].(string)
	_, sealed := found[1].(string)
	applied, laid := appliedSeq(found[2])
	switch {
	case !known:
		return "lost state"
	case session != f.Session:
		return "fenced"
	case !sealed, !laid:
		return "lost state"
	case applied != f.Seq:
		return "lost place"
	}
	for i, answered := range f.After {
		if applied, _ := appliedSeq(found[3+i]); applied < answered {
			return "lost batch"
		}
	}
	return ""
}

// appliedSeq is the number of a lane's last batch.
func appliedSeq(field any) (seq uint64, ok bool) {
	text, _ := field.(string)
	number, _, _ := strings.Cut(text, " ")
	seq, err := strconv.ParseUint(number, 10, 64)
	return seq, err == nil
}
