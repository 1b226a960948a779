package server

import (
	"os"
	"testing"
)

// EnvRequire names the variable that forbids tests to skip for want of a server; CI=true does too.
const EnvRequire = "FRESHET_REQUIRE_SERVERS"

// Missing ends a test that needs a server which is not on this machine: a skip, or a failure where everything must run.
func Missing(t testing.TB, err error) {
	t.Helper()
	if os.Getenv("CI") == "true" || os.Getenv(EnvRequire) == "1" {
		t.Fatalf("%v; make test installs it", err)
	}
	t.Skipf("%v; make test installs it", err)
}
