// Package change is what happened in Postgres, and how it is spelled on the wire: row changes, positions in the
// stream, and the batches that carry them. The files in testdata are its specification.
package change
