// Package bench measures the whole pipeline, from a replication slot into Redis, mostly against the fastest that Postgres itself can do.
//
// The limit is the walsender: one process that decodes the log. pg_recvlogical, which comes with Postgres, reads a slot and
// throws everything away; that is the yardstick. It and freshet read the same log from copies of one slot, turn and turn
// about, on one machine. Both clocks start with the start of a process. The yardstick's stops when that process has ended,
// freshet's when the slot has confirmed the end of the load, so all rows are in Redis and Postgres has been told.
//
// Other workloads have yardsticks of their own, or none: the existing rows, psql's COPY of key and to_json, through awk into
// redis-cli --pipe; functions that are far away, freshet with one that is near; the time from a commit to Redis, the memory, and what
// an idle pipeline uses, a number that they shall not exceed. All yardsticks and aims are in aims.go.
//
// A run keeps its results in results.json, in the place of older ones of the same workloads, and makes RESULTS.md of all that is there.
// The largest workload needs 3 GB for Redis and 5 GB of disk.
package bench
