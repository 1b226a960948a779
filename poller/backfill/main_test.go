package backfill_test

import (
	"testing"

	"freshet/local/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }
