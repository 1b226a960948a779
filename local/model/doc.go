// Package model plays Postgres, a poller, a function and Redis as plain values, and crashes them at every point. The decisions are those
// of the product itself: what a session finds, what it skips, what is settled, what may be confirmed. Only what surrounds them is played.
package model
