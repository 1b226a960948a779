//go:build !unix

package main

import "io"

// terminal knows no terminals here: progress is shown in lines.
func terminal(io.Writer) func() (width, height int) { return nil }
