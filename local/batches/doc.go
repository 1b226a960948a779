// Package batches holds batches written by hand, to be replayed in the order of their names:
//
//	curl --data-binary @local/batches/1-insert.json http://127.0.0.1:8080/v1/batches
//
// With ?dry_run=1 the function answers what it would do. They have no fence, so they are applied as they are, as often as
// they are sent.
package batches
