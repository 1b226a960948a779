// Package poller streams changes out of one Postgres database and sees them into Redis.
//
//	replication.Stream --bytes--> pgoutput.Decoder --rows--> intake.Intake --messages--> lane.Set
//	      ^                                                      ^                          |
//	      | reports                                 pages at their marks                    | batches
//	      |                                                      |                          v
//	replication.Reporter <--LSNs-- ack.Tracker          backfill.Runner            sink.Delivery --HTTP--> function --> Redis
//	      ^                             ^                                                   |
//	      +------- sink.Seals           +---------------- settled ------------------------- +
//
// # Invariants
//
//   - Only an LSN that is settled, sealed in Redis, and has been so for the replay window is confirmed to Postgres; and none beyond a
//     transaction that a snapshot may not see yet.
//   - A key belongs to one lane; a lane has one request in flight; so no key sees its changes out of order.
//   - The poller holds nothing that it cannot lose. Where things are is known by the slot and by Redis.
//   - The number of bytes held is bounded, and a full buffer stops reading, never reporting.
//
// # Goroutines
//
// Each has one owner, and all of a life's end before the next life begins:
//
//	lives        one life after another (Poller.lives)
//	reporter     writes status reports on its own clock (replication.Reporter.Run)
//	receiver     owns the reading side of the replication connection, the decoder, the intake (life.receive)
//	lanes        one each: owns its batches until their 2xx (sink.Delivery)
//	backfill     owns the connection that reads rows, for backfills, sweeps, comparisons and the audit (backfill.Runner.Run); beside it one
//	             goroutine writes the marks of pages, and one asks the function for keys while they are looked through
//	letGo        ends a life whose stream Postgres cannot end (life.letGo)
//	guard        looks at the slot on a connection of its own, from the first life to the last (guard.Watcher.Run)
//	watch        gauges, and the end of an idle job (life.watch)
//	admin        the operator's page (admin.Serve)
package poller
