// Package stack runs freshet on one machine, without Docker: both programs as processes, and a demo shop that keeps
// changing rows. make run, the end-to-end tests and the benchmark are built on it.
package stack
