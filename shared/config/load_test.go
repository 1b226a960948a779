package config_test

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"freshet/shared/config"
	"freshet/shared/problem"
)

type limits struct {
	MaxMessages int           `split_words:"true" default:"1000" desc:"Messages in one batch, at most."`
	Timeout     time.Duration `split_words:"true" default:"15s" desc:"Longest a function may take."`
}

type settings struct {
	limits
	Limits
	Port   int           `bare:"true" split_words:"true" default:"8080" desc:"Port to listen on."`
	URL    string        `split_words:"true" needed:"true" desc:"Where batches go."`
	Token  config.Secret `split_words:"true" desc:"Password of the sink."`
	Fence  config.Switch `split_words:"true" default:"on" desc:"Check fences."`
	Level  slog.Level    `split_words:"true" default:"INFO" desc:"Least level that is logged."`
	Tables []string      `split_words:"true" desc:"A | list."`
	Debug  bool          `split_words:"true" desc:"Say more."`
}

// Limits is embedded too, and exported.
type Limits struct {
	Lanes uint8 `split_words:"true" default:"8" desc:"Ordered shares."`
}

func (s *settings) Validate() (found problem.List) {
	if s.Lanes == 0 {
		found = append(found, &problem.Error{What: "T_LANES is 0"})
	}
	return found
}

// load sets the variables and nothing else that begins with the prefix.
func load(t *testing.T, variables map[string]string) (settings, problem.List) {
	t.Helper()
	for name, value := range variables {
		t.Setenv(name, value)
	}
	var s settings
	err := config.Load("T", &s)
	var list problem.List
	if err != nil && !errors.As(err, &list) {
		t.Fatalf("got %T, want a problem.List", err)
	}
	return s, list
}

func TestLoad_FillsDefaults(t *testing.T) {
	got, found := load(t, map[string]string{"T_URL": "http://localhost"})
	want := settings{limits: limits{MaxMessages: 1000, Timeout: 15 * time.Second}, Limits: Limits{Lanes: 8}, Port: 8080, URL: "http://localhost", Fence: true}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(settings{})); diff != "" || found != nil {
		t.Errorf("%v\n%s", found, diff)
	}
}

func TestLoad_ReadsEveryKind(t *testing.T) {
	got, found := load(t, map[string]string{
		"T_URL": "http://x", "T_MAX_MESSAGES": "7", "T_TIMEOUT": "250ms", "T_LANES": "1", "PORT": "9", "T_TOKEN": "s3cret", "T_FENCE": "off",
		"T_LEVEL": "debug", "T_TABLES": "a,b", "T_DEBUG": "true",
	})
	want := settings{limits: limits{MaxMessages: 7, Timeout: 250 * time.Millisecond}, Limits: Limits{Lanes: 1}, Port: 9, URL: "http://x", Token: "s3cret",
		Level: slog.LevelDebug, Tables: []string{"a", "b"}, Debug: true}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(settings{})); diff != "" || found != nil {
		t.Errorf("%v\n%s", found, diff)
	}
}

func TestLoad_ReportsEverythingAtOnce(t *testing.T) {
	_, found := load(t, map[string]string{
		"T_MAX_MESSAGES": "many", "T_TIMEOUT": "15", "T_LANES": "300", "PORT": "", "T_FENCE": "perhaps", "T_LEVEL": "LOUD", "T_DEBUG": "ja",
		"T_TOKN": "s3cret", "T_NOTHING_LIKE_IT": "s3cret", "T_TOKEN": "s3cret",
	})
	var got []string
	for _, e := range found {
		got = append(got, e.What)
		if e.Fix == "" {
			t.Errorf("%s: no word about how to fix it", e.What)
		}
		if strings.Contains(e.Error(), "s3cret") {
			t.Errorf("a value is shown that may be secret: %v", e)
		}
	}
	want := []string{
		"T_MAX_MESSAGES is not a whole number", "T_TIMEOUT is not a duration", "T_LANES is not a whole number", "PORT is empty", "T_URL is needed",
		"T_FENCE is not on or off", "T_LEVEL is not a log level", "T_DEBUG is not on or off", "T_NOTHING_LIKE_IT is not a setting", "T_TOKN is not a setting",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if fix, want := found[len(found)-1].Fix, "did you mean T_TOKEN?"; fix != want {
		t.Errorf("got %q, want %q", fix, want)
	}
	if fix, want := found[1].Fix, "something like 15s"; !strings.Contains(fix, want) {
		t.Errorf("got %q, want %q in it", fix, want)
	}
}

func TestLoad_NeedsMoreThanBlanks(t *testing.T) {
	for _, value := range []string{"", "  "} {
		if _, found := load(t, map[string]string{"T_URL": value}); len(found) != 1 || found[0].What != "T_URL is needed" || found[0].Why != "it is empty" {
			t.Errorf("%q: got %v", value, found)
		}
	}
}

// Everything is checked in one go; but nothing is said twice of a variable that could not be read.
func TestLoad_Validates(t *testing.T) {
	if _, found := load(t, map[string]string{"T_URL": "x", "T_LANES": "0"}); len(found) != 1 || found[0].What != "T_LANES is 0" {
		t.Errorf("got %v", found)
	}
	if _, found := load(t, map[string]string{"T_URL": "", "T_LANES": "0", "T_LANEZ": "1"}); len(found) != 3 || found[0].What != "T_URL is needed" || found[1].What != "T_LANES is 0" || found[2].What != "T_LANEZ is not a setting" {
		t.Errorf("got %v", found)
	}
}

func TestLoad_IgnoresWhatKubernetesInjects(t *testing.T) {
	_, found := load(t, map[string]string{
		"T_URL": "x", "T_SERVICE_HOST": "10.0.0.1", "T_SERVICE_PORT": "80", "T_SERVICE_PORT_HTTP": "80", "T_PORT": "tcp://10.0.0.1:80",
		"T_PORT_80_TCP": "tcp://10.0.0.1:80", "T_PORT_80_TCP_PROTO": "tcp", "T_PORT_53_UDP_ADDR": "10.0.0.1",
		"T_METRICS_SERVICE_HOST": "10.0.0.2", "T_METRICS_PORT": "tcp://10.0.0.2:9090", "T_METRICS_PORT_9090_TCP_ADDR": "10.0.0.2",
	})
	if found != nil {
		t.Errorf("got %v", found)
	}
	if _, found = load(t, map[string]string{"T_URL": "x", "T_PORT": "8081"}); len(found) != 1 {
		t.Errorf("got %v, want T_PORT to be reported", found)
	}
}

func TestSecret_IsNeverPrinted(t *testing.T) {
	secret := config.Secret("s3cret")
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "token", secret, "in", struct{ S config.Secret }{secret})
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "token", secret, "in", struct{ S config.Secret }{secret})
	for _, text := range []string{
		log.String(), fmt.Sprint(secret), fmt.Sprintf("%s %v %+v %#v %q", secret, secret, secret, secret, secret),
		fmt.Sprintf("%v %+v %#v", settings{Token: secret}, settings{Token: secret}, settings{Token: secret}), fmt.Sprintf("%x", secret),
	} {
		if strings.Contains(text, "s3cret") || strings.Contains(text, "733363726574") {
			t.Errorf("got %s", text)
		}
	}
	if secret.Reveal() != "s3cret" || config.Secret("").String() != "" {
		t.Error("a secret must be there for those who ask, and show that it is unset")
	}
}

func TestPrintableURL(t *testing.T) {
	for raw, want := range map[string]string{
		"https://user:s3cret@host:1/path?token=s3cret#s3cret": "https://user:xxxxx@host:1/path",
		"http://host":   "http://host",
		"http://h\x01:": "(not a URL)",
	} {
		if got := config.PrintableURL(raw); got != want {
			t.Errorf("%s: got %s, want %s", raw, got, want)
		}
	}
}

func TestSwitch(t *testing.T) {
	for text, want := range map[string]bool{"on": true, "true": true, "1": true, "yes": true, "off": false, "false": false, "0": false, "no": false} {
		s := config.Switch(!want)
		if err := s.Decode(text); err != nil || bool(s) != want {
			t.Errorf("%s: got %v, %v", text, s, err)
		}
	}
	for _, text := range []string{"", "On!", "2"} {
		if err := new(config.Switch).Decode(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

func TestDocs_FollowTheStruct(t *testing.T) {
	table := config.Table("T", new(settings))
	for _, line := range []string{
		"| `T_MAX_MESSAGES` | a whole number | `1000` | Messages in one batch, at most. |\n", "| `PORT` | a whole number | `8080` | Port to listen on. |\n",
		"| `T_URL` | text | **needed** | Where batches go. |\n", "| `T_TOKEN` | text |  | Password of the sink. |\n", `| A \| list. |`,
	} {
		if !strings.Contains(table, line) {
			t.Errorf("%s is not in\n%s", line, table)
		}
	}
	sample := config.Sample("T", new(settings), map[string]string{"T_URL": "http://localhost:8080"})
	for _, line := range []string{"# Where batches go.\nT_URL=http://localhost:8080\n", "#T_MAX_MESSAGES=1000\n"} {
		if !strings.Contains(sample, line) {
			t.Errorf("%s is not in\n%s", line, sample)
		}
	}
}

// A part has settings of its own alone, and says nothing of others, misspelt or not.
func TestLoadPart(t *testing.T) {
	var part struct{ Limits }
	t.Setenv("T_TIMEOUT", "soon")
	t.Setenv("T_LANEZ", "1")
	if err := config.LoadPart("T", &part); err != nil || part.Lanes != 8 {
		t.Errorf("got %v, %+v", err, part)
	}
	t.Setenv("T_LANES", "many")
	if err := config.LoadPart("T", &part); err == nil || err.Error() != `T_LANES is not a whole number: its value is "many" (fix: set it to something like 8: Ordered shares.)` {
		t.Errorf("got %v", err)
	}
}
