//go:build race

// Package race tells tests whether they run under the race detector, which makes programs slower and has them allocate more.
package race

// Enabled says that this test was built with -race; then the programs that it builds are too.
const Enabled = true
