package logging_test

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"freshet/shared/logging"
)

func TestNew_JSONIsNamedAsCollectorsExpect(t *testing.T) {
	var b strings.Builder
	log := logging.New(&b, logging.Config{LogFormat: "json", LogLevel: slog.LevelWarn})
	log.Info("not shown")
	log.Warn("slow", logging.Lane, 3, slog.Group("inner", "msg", "kept", "level", "kept"))
	var got struct {
		Severity, Message string
		Lane              int
		Inner             map[string]string
	}
	if err := json.Unmarshal([]byte(b.String()), &got); err != nil {
		t.Fatalf("%v: %s", err, b.String())
	}
	if got.Severity != "WARN" || got.Message != "slow" || got.Lane != 3 || got.Inner["msg"] != "kept" || got.Inner["level"] != "kept" {
		t.Errorf("got %s", b.String())
	}
}

func TestNew_TextIsForPeople(t *testing.T) {
	var b strings.Builder
	logging.New(&b, logging.Config{LogFormat: "text"}).Info("started", logging.Slot, "freshet")
	if got, want := b.String(), "level=INFO msg=started slot=freshet\n"; !strings.HasSuffix(got, want) {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestConfig_Validate(t *testing.T) {
	for format, fine := range map[string]bool{"text": true, "json": true, "": false, "xml": false} {
		if found := (logging.Config{LogFormat: format}).Validate(); (len(found) == 0) != fine {
			t.Errorf("%q: got %v", format, found)
		}
	}
}
