package redisstore

import "github.com/redis/go-redis/v9"

// Transactions has every batch with a value written in a transaction, however small it is.
func (s *Store) Transactions() { s.fewest = 1 }

// ScriptsOnly says that the store has found out that it may not use transactions.
func (s *Store) ScriptsOnly() bool { return s.scriptsOnly.Load() }

// AddHook has a test look at the commands.
func (s *Store) AddHook(hook redis.Hook) { s.client.AddHook(hook) }
