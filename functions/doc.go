// Package functions is the stateless half of freshet: a batch of row changes comes in over HTTP, Redis strings come out. Nothing is kept between
// requests, so any number of instances may run.
//
//	server.go      HTTP: routes, limits, problems
//	function.go    New: everything put together, with code of one's own for the values
//	handler.go     what happens to a batch: rules, store, receipt
//	verify.go      the same rules the other way: what is missing, stale or without a row
//	preview.go     what would happen, and how: the dry run
//	rules/         which rows, which key, which value
//	effect/        what a batch does to keys, one write a key
//	redisstore/    Redis: the fence, the state of a sink, truncates, checks
//	storetest/     what every store must do
//
// A 2xx promises that every message of the batch is written, deleted, or filtered on purpose, and that Redis said so for each
// command. After any other answer nothing is promised, and the same batch may come again as often as needed: with its fence
// it takes effect once, and in order.
package functions
