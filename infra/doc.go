// Package infra is how to run freshet for real: see README.md. Its tests keep the examples true to the code.
package infra
