//go:build !race

package race

// Enabled says that this test was built with -race; then the programs that it builds are too.
const Enabled = false
