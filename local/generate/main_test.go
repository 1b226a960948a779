package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestGeneratedFilesAreFresh(t *testing.T) {
	for _, e := range stale("../..") {
		t.Error(e)
	}
}

func TestStale_NoticesAChangedAndAMissingFile(t *testing.T) {
	root := t.TempDir()
	for name, text := range files() {
		if name == "local/env/fn.env" {
			continue
		}
		if name == "poller/CONFIG.md" {
			text = append(text, ' ')
		}
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got := stale(root)
	if len(got) != 2 || !strings.HasPrefix(got[0].What, "local/env/fn.env ") || !strings.HasPrefix(got[1].What, "poller/CONFIG.md ") {
		t.Errorf("got %v", got)
	}
}

func TestFiles_ShowTheSettingsEverybodyNeeds(t *testing.T) {
	for name, wants := range map[string][]string{
		"poller/CONFIG.md":     {"| `DATABASE_URL` | text | **needed** |", "| `POLLER_TABLES` |", "| `POLLER_LANES` |"},
		"functions/CONFIG.md":  {"| `PORT` | a whole number | `8080` |", "| `REDIS_URL` |", "| `FN_KEY` |"},
		"local/env/poller.env": {"\nPOLLER_TABLES=products,orders\n", "\n#POLLER_BACKFILL=initial\n"},
		"local/env/fn.env":     {"\nREDIS_URL=redis://127.0.0.1:6379\n"},
	} {
		for _, want := range wants {
			if !strings.Contains(string(files()[name]), want) {
				t.Errorf("%s lacks %q:\n%s", name, want, files()[name])
			}
		}
	}
}
