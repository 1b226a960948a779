// Package shared is the contract between the poller and the function: what both must agree on, and nothing that only one
// of them needs.
//
//	change    what happened in Postgres, and how it is spelled on the wire
//	exchange  what one HTTP exchange means: routes, status codes, sessions, receipts
//	config    the environment, read once, every problem in one report
//	problem   errors made for people: what, why, fix
//	logging   one logger, one set of attribute names
//	profile   how a program spends its time, recorded for the compiler; not in what is released
//	garbage   from which size of the heap on the runtime collects garbage
//
// A batch goes from the poller to the function; a 2xx means that every message in it is settled: written, deleted, filtered on
// purpose, or kept as a dead letter. Only what is settled, and sealed in Redis, is confirmed to Postgres.
package shared
