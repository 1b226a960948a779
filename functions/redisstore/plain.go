package redisstore

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"

	"freshet/functions/effect"
)

// pipelined is how many commands share a round trip.
const pipelined = 1000

// applyPlain does a batch without a fence, as it is. It is no transaction: after an error the same batch has to come again.
func (s *Store) applyPlain(ctx context.Context, b *effect.Batch) error {
	if err := s.outdate(ctx, b.Sink, b.Clears); err != nil {
		return s.trouble(err)
	}
	for _, prefix := range b.Clears {
		err := s.scan(ctx, prefix, func(keys []string) error { return s.client.Del(ctx, keys...).Err() })
		if err != nil {
			return s.trouble(err)
		}
	}
	for rest := b.Writes; len(rest) > 0; {
		n := min(pipelined, len(rest))
		if err := s.send(ctx, b.Sink, rest[:n]); err != nil {
			return s.trouble(err)
		}
		rest = rest[n:]
	}
	return nil
}

// send answers the first error of any command.
func (s *Store) send(ctx context.Context, sink string, writes []effect.Write) error {
	_, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		keys := make([]string, len(writes))
		for i, w := range writes {
			keys[i] = w.Key
			if w.Delete {
				p.Del(ctx, w.Key)
			} else {
				p.Set(ctx, w.Key, w.Value, time.Duration(w.ExpireMS)*time.Millisecond)
			}
		}
		p.HDel(ctx, markedKey(sink), keys...)
		return nil
	})
	return err
}
