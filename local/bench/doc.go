// Package bench measures the whole pipeline, from a replication slot into Redis, against the fastest that Postgres itself can do.
//
// The limit is the walsender: one process that decodes the log. pg_recvlogical, which comes with Postgres, reads a slot and
// throws everything away; that is the yardstick. It and freshet read the same log from copies of one slot, turn and turn
// about, on one machine. Both clocks start with the start of a process. The yardstick's stops when that process has ended,
// freshet's when the slot has confirmed the end of the load, so all rows are in Redis and Postgres has been told.
//
// The existing rows have a yardstick of their own: psql's COPY of key and to_json, through awk into redis-cli --pipe.
package bench
