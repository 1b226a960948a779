package functions_test

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"freshet/functions"
	"freshet/shared/config"
)

// The names are known to users, documents and other programs.
func TestConfig_Names(t *testing.T) {
	var got []string
	for _, s := range config.Settings("FN", new(functions.Config)) {
		got = append(got, s.Name)
		if s.Description == "" {
			t.Errorf("%s has no description", s.Name)
		}
	}
	want := []string{
		"PORT", "FN_MAX_BODY", "FN_TIMEOUT", "FN_ON_POISON", "FN_MAX_VALUE", "FN_KEY", "FN_VALUE", "FN_FILTER", "FN_ACTIONS", "FN_EXPIRE_MS", "FN_EXPIRE_JITTER", "FN_WRITE", "FN_RULES",
		"REDIS_URL", "FN_REDIS_HOST", "FN_REDIS_PORT", "FN_REDIS_USERNAME", "FN_REDIS_PASSWORD", "FN_REDIS_DATABASE", "FN_REDIS_TLS",
		"FN_REDIS_TLS_CA_FILE", "FN_REDIS_TLS_CERT_FILE", "FN_REDIS_TLS_KEY_FILE", "FN_REDIS_TIMEOUT", "FN_DEAD_LETTERS_MAX", "FN_DEAD_LETTERS_AGE", "FN_LOG_LEVEL", "FN_LOG_FORMAT",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// load reads settings from nothing but these variables.
func load(t *testing.T, environ ...string) (functions.Config, error) {
	t.Helper()
	for _, entry := range os.Environ() {
		name, value, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, "FN_") || name == "REDIS_URL" || name == "PORT" {
			os.Unsetenv(name)
			t.Cleanup(func() { os.Setenv(name, value) })
		}
	}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		t.Setenv(name, value)
	}
	var c functions.Config
	err := config.Load("FN", &c)
	return c, err
}

func TestConfig_Defaults(t *testing.T) {
	c, err := load(t, "REDIS_URL=redis://localhost")
	if err != nil {
		t.Fatal(err)
	}
	if c.Port != 8080 || c.MaxBody != 16<<20 || c.Key != "sequin:{table_name}:{primary_key}" || c.Value != "record" || len(c.Actions) != 3 {
		t.Errorf("got %+v", c)
	}
}
