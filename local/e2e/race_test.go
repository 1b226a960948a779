//go:build race

package e2e_test

// raceDetector says that this test was built with it; then the programs are too.
const raceDetector = true
