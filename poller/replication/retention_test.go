package replication_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"freshet/local/pgtest"
	"freshet/local/server"
	"freshet/poller/replication"
	"freshet/shared/config"
)

// ownSource is a source on a server of its own, with these settings.
func ownSource(t *testing.T, sql string, settings map[string]string) source {
	t.Helper()
	pgtest.Server(t) // skips where there is none to be had
	postgres, err := server.StartPostgres(t.Context(), server.PostgresOptions{Settings: settings})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := postgres.Close(); err != nil {
			t.Error(err)
		}
	})
	s := source{t: t, config: replication.Config{DatabaseURL: config.Secret(postgres.DSN), Slot: "s", Publication: "p", StatusEvery: 10 * time.Second}}
	s.run(sql)
	return s
}

// run is for sources without a pgtest.Database.
func (s source) run(sql string) {
	s.t.Helper()
	if _, err := s.connect().Exec(s.t.Context(), sql); err != nil {
		s.t.Fatalf("%s: %v", sql, err)
	}
}

func (s source) ask(sql string) (answer string) {
	s.t.Helper()
	if err := s.connect().QueryRow(s.t.Context(), "SELECT coalesce(("+sql+")::text, '')").Scan(&answer); err != nil {
		s.t.Fatalf("%s: %v", sql, err)
	}
	return answer
}

// lose writes so much log that Postgres gives the slot up.
func (s source) lose() {
	s.t.Helper()
	for range 20 {
		s.run("SELECT pg_logical_emit_message(false, 'test', repeat('x', 1000000)) FROM generate_series(1, 10)")
		s.run("SELECT pg_switch_wal()")
		s.run("CHECKPOINT")
		if s.ask("SELECT wal_status FROM pg_replication_slots WHERE slot_name = 's'") == "lost" {
			return
		}
	}
	s.t.Fatal("the slot is not lost: the test shows nothing")
}

func TestLostSlot(t *testing.T) {
	s := ownSource(t, oneTable, map[string]string{"max_slot_wal_keep_size": "16MB", "min_wal_size": "32MB", "max_wal_size": "32MB"})
	if !s.prepare("a") {
		t.Fatal("the slot was not made")
	}
	s.lose()

	survey, found := s.checkAll("a", false)
	wantFindings(t, "left to a person", found, `slot "s" is lost`)
	if len(found.Blocking()) != 1 || !strings.Contains(found[0].Fix, "POLLER_REPAIR") || !survey.SlotLost || !survey.SlotExists {
		t.Errorf("it does not stop the start, or does not say what to set: %v; the survey is %+v", found, survey)
	}

	survey, found = s.checkAll("a", true)
	wantFindings(t, "made anew", found, `slot "s" is lost`)
	if len(found.Blocking()) != 0 || !survey.SlotLost {
		t.Errorf("it stops the start although it can be made anew: %v", found)
	}
	before := s.ask("SELECT pg_current_wal_lsn()")
	made, err := replication.Prepare(t.Context(), s.connect(), s.config, survey, quiet)
	if err != nil || !made {
		t.Fatalf("made %v, %v", made, err)
	}
	if got := s.ask(fmt.Sprintf("SELECT wal_status || ' ' || (confirmed_flush_lsn >= '%s') FROM pg_replication_slots WHERE slot_name = 's'", before)); got != "reserved true" {
		t.Errorf("the new slot is %s", got)
	}
	s.stream()

	// A poller that surveyed before another one made the slot anew must not drop the new one.
	if _, err := replication.Prepare(t.Context(), s.connect(), s.config, survey, quiet); err != replication.ErrSlotInUse {
		t.Errorf("a stale survey: %v", err)
	}
	if _, found := s.checkAll("a", true); len(found) > 0 {
		t.Errorf("the new slot has findings: %v", found)
	}
}

func TestCheck_SettingsThatLetAPollerDoHarm(t *testing.T) {
	settings := map[string]string{"max_slot_wal_keep_size": "-1"}
	found, err := server.Find()
	if found.PostgresBin == "" {
		server.Missing(t, err)
	}
	want := []string{"nothing bounds the write-ahead log"}
	if found.PostgresMajor >= 18 {
		settings["idle_replication_slot_timeout"] = "1h"
		want = append(want, "idle_replication_slot_timeout is 1h")
	}
	s := ownSource(t, oneTable, settings)
	survey, list := s.checkAll("a", true)
	wantFindings(t, "both", list, want...)
	if len(list.Blocking()) > 0 {
		t.Errorf("they stop the start: %v", list)
	}
	if survey.Timeline != 1 {
		t.Errorf("the timeline is %d", survey.Timeline)
	}
}
