package redisstore

import (
	"context"
	"errors"
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
	commands, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		keys := make([]string, len(writes))
		for i, w := range writes {
			keys[i] = w.Key
			expire := time.Duration(w.ExpireMS) * time.Millisecond
			switch {
			case w.Delete:
				p.Del(ctx, w.Key)
			case w.IfThere:
				p.SetArgs(ctx, w.Key, w.Value, redis.SetArgs{Mode: "XX", TTL: expire, KeepTTL: expire == 0})
			default:
				p.Set(ctx, w.Key, w.Value, expire)
			}
		}
		p.HDel(ctx, markedKey(sink), keys...)
		return nil
	})
	if !errors.Is(err, redis.Nil) {
		return err
	}
	for _, c := range commands { // a key that is not there is no error, but one may hide behind it
		if err := c.Err(); err != nil && !errors.Is(err, redis.Nil) {
			return err
		}
	}
	return nil
}

// Values answers what keys hold, nil where there is no string.
func (s *Store) Values(ctx context.Context, keys []string) (values []*string, err error) {
	for rest := keys; len(rest) > 0; {
		n := min(pipelined, len(rest))
		found, err := s.client.MGet(ctx, rest[:n]...).Result()
		if err != nil {
			return nil, s.trouble(err)
		}
		for _, f := range found {
			if text, there := f.(string); there {
				values = append(values, &text)
			} else {
				values = append(values, nil)
			}
		}
		rest = rest[n:]
	}
	return values, nil
}
