package redisstore

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"freshet/functions/effect"
	"freshet/shared/exchange"
	"freshet/shared/problem"
)

// Letters bounds the dead letters of a sink.
type Letters struct {
	DeadLettersMax int64         `split_words:"true" default:"1000" desc:"Dead letters that are kept for a sink, about; the oldest go first. Each takes up to 1 MiB of the Redis, mostly the size of a row."`
	DeadLettersAge time.Duration `split_words:"true" default:"168h" desc:"How long a dead letter is kept, about."`
}

// Validate refuses what cannot work.
func (l Letters) Validate() (found problem.List) {
	if l.DeadLettersMax < 1 || l.DeadLettersAge < time.Second {
		found = append(found, &problem.Error{
			What: "FN_DEAD_LETTERS_MAX or FN_DEAD_LETTERS_AGE is too small", Why: "a dead letter would be gone before anyone has seen it",
			Fix: "use at least 1, and at least 1s; or FN_ON_POISON=hold",
		})
	}
	return found
}

// most and age are the defaults where nothing is set.
func (l Letters) most() int64 { return cmp.Or(l.DeadLettersMax, 1000) }
func (l Letters) age() int64  { return cmp.Or(l.DeadLettersAge, 168*time.Hour).Milliseconds() }

// The letters of a sink are a stream, for people to read with XRANGE too. Beside it is a hash with the newest letter of each key, as long as
// nothing newer came for the key: that letter alone may still be written.
func lettersKey(sink string) string { return exchange.DeadLettersKey(sink) }
func markedKey(sink string) string  { return keyOf(sink, "dead:keys") }

// Fields of a letter.
const (
	letterReason   = "reason"
	letterTable    = "table"
	letterKeys     = "keys"
	letterLane     = "lane"
	letterPosition = "position"
	letterKeyOnly  = "key_only"
	letterMessage  = "message"
)

// letters adds those of b to the arguments of fence.lua.
func (c *call) letters(b *effect.Batch) {
	for i := range b.Letters {
		l := &b.Letters[i]
		fields := []any{letterReason, l.Reason, letterTable, l.Table, letterKeys, text(l.Keys), letterLane, b.Fence.Lane, letterPosition, l.Position, letterMessage, l.Message}
		if l.KeyOnly {
			fields = append(fields, letterKeyOnly, "1")
		}
		marked := c.marked(b, i)
		c.args = append(append(append(c.args, len(fields), len(marked)), fields...), marked...)
	}
}

// marked are the keys of a letter that nothing behind it in its batch has written.
func (c *call) marked(b *effect.Batch, letter int) (keys []any) {
	for i := range b.Writes {
		if b.Parked(&b.Writes[i]) == letter {
			keys = append(keys, &b.Writes[i].Key)
		}
	}
	return keys
}

// outdate takes the marks of all keys away that begin with one of the prefixes. It comes before the keys are looked for, so that a letter
// that is written meanwhile is found among them.
func (s *Store) outdate(ctx context.Context, sink string, prefixes []string) error {
	for _, prefix := range prefixes {
		var cursor uint64
		for {
			found, next, err := s.client.HScan(ctx, markedKey(sink), cursor, glob(prefix)+"*", scanned).Result()
			if err != nil {
				return err
			}
			keys := make([]string, 0, len(found)/2)
			for i := 0; i < len(found); i += 2 {
				keys = append(keys, found[i])
			}
			if len(keys) > 0 {
				if err := s.client.HDel(ctx, markedKey(sink), keys...).Err(); err != nil {
					return err
				}
			}
			if cursor = next; cursor == 0 {
				break
			}
		}
	}
	return nil
}

// Kept counts the letters of a sink.
func (s *Store) Kept(ctx context.Context, sink string) (int64, error) {
	n, err := s.client.XLen(ctx, lettersKey(sink)).Result()
	if err != nil {
		return 0, s.trouble(err)
	}
	return n, nil
}

// letterID is how Redis names an entry of a stream.
var letterID = regexp.MustCompile(`^\d{1,20}-\d{1,20}$`)

// Letters answers up to count letters that came after one, the oldest first; all of them when after is empty.
func (s *Store) Letters(ctx context.Context, sink, after string, count int64) ([]exchange.DeadLetter, error) {
	from := "(" + after
	if after == "" {
		from = "-"
		// Nothing else looks after them while none is added.
		oldest := max(0, time.Now().UnixMilli()-s.letters.age())
		if err := s.client.XTrimMinIDApprox(ctx, lettersKey(sink), strconv.FormatInt(oldest, 10), 0).Err(); err != nil {
			return nil, s.trouble(err)
		}
	}
	return s.readLetters(ctx, sink, from, "+", count)
}

// Letter answers one; ok is false when there is none of this id.
func (s *Store) Letter(ctx context.Context, sink, id string) (l exchange.DeadLetter, ok bool, err error) {
	if !letterID.MatchString(id) {
		return l, false, nil
	}
	all, err := s.readLetters(ctx, sink, id, id, 1)
	if err != nil || len(all) == 0 {
		return l, false, err
	}
	return all[0], true, nil
}

func (s *Store) readLetters(ctx context.Context, sink, from, to string, count int64) ([]exchange.DeadLetter, error) {
	entries, err := s.client.XRangeN(ctx, lettersKey(sink), from, to, count).Result()
	if err != nil {
		return nil, s.trouble(err)
	}
	all := make([]exchange.DeadLetter, len(entries))
	for i, e := range entries {
		all[i] = letterOf(e)
		if all[i].Replayable, err = s.unwritten(ctx, sink, all[i]); err != nil {
			return nil, s.trouble(err)
		}
	}
	return all, nil
}

// letterOf reads an entry as far as it is one of ours.
func letterOf(e redis.XMessage) exchange.DeadLetter {
	field := func(name string) string {
		text, _ := e.Values[name].(string)
		return text
	}
	l := exchange.DeadLetter{ID: e.ID, Reason: field(letterReason), Table: field(letterTable), Position: field(letterPosition), KeyOnly: field(letterKeyOnly) != ""}
	ms, _, _ := strings.Cut(e.ID, "-")
	n, _ := strconv.ParseInt(ms, 10, 64)
	l.Time = time.UnixMilli(n).UTC()
	l.Lane, _ = strconv.Atoi(field(letterLane))
	_ = json.Unmarshal([]byte(field(letterKeys)), &l.Keys)
	if message := field(letterMessage); json.Valid([]byte(message)) {
		l.Message = json.RawMessage(message)
	}
	return l
}

// unwritten says whether nothing newer came for any key of the letter.
func (s *Store) unwritten(ctx context.Context, sink string, l exchange.DeadLetter) (bool, error) {
	if len(l.Keys) == 0 || l.KeyOnly {
		return false, nil
	}
	marks, err := s.client.HMGet(ctx, markedKey(sink), l.Keys...).Result()
	for _, mark := range marks {
		if mark != l.ID {
			return false, err
		}
	}
	return err == nil, err
}

// Drop forgets a letter; dropped is false when it was not there any more.
func (s *Store) Drop(ctx context.Context, sink string, l exchange.DeadLetter) (dropped bool, err error) {
	args := []any{nil, nil, 2 + len(l.Keys), lettersKey(sink), markedKey(sink)}
	for _, key := range l.Keys {
		args = append(args, key)
	}
	verdict, err := s.run(ctx, dropScript, append(args, l.ID))
	if err != nil {
		return false, s.trouble(err)
	}
	return verdict == "dropped", nil
}

// Replay writes a letter after all, if nothing newer came for any of its keys: otherwise written is false.
func (s *Store) Replay(ctx context.Context, sink, id string, writes []effect.Write) (written bool, err error) {
	args := []any{nil, nil, 2 + len(writes), lettersKey(sink), markedKey(sink)}
	for _, w := range writes {
		args = append(args, w.Key)
	}
	args = append(args, id)
	for _, w := range writes {
		do := "set"
		if w.Delete || w.IfThere { // the key was removed for the letter, so it is not there
			do = "del"
		}
		args = append(args, do, w.Value, w.ExpireMS)
	}
	verdict, err := s.run(ctx, replayScript, args)
	if err != nil {
		return false, s.trouble(err)
	}
	return verdict == "replayed", nil
}

// findLetters is a word about letters that nobody has looked after.
func (s *Store) findLetters(ctx context.Context, sink string) problem.List {
	n, err := s.client.XLen(ctx, lettersKey(sink)).Result()
	switch {
	case errors.Is(err, redis.Nil), err == nil && n == 0:
		return nil
	case err != nil:
		p := s.trouble(err)
		p.Why = "XLEN " + lettersKey(sink) + ": " + p.Why
		return problem.List{p}
	}
	return problem.List{{
		Warning: true, What: fmt.Sprintf("%d messages could not be written", n), Why: "they are kept as dead letters in " + lettersKey(sink) + "; their keys are missing in Redis",
		Fix: "poller dead-letters list says why; poller dead-letters replay, or drop, when that is mended",
	}}
}
