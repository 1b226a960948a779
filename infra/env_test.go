package infra_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"freshet/functions"
	"freshet/poller"
	"freshet/shared/config"
)

// TestEveryNameIsASetting reads what people copy from, and fails at a name that the programs would refuse.
func TestEveryNameIsASetting(t *testing.T) {
	known := settings()
	used := map[string][]string{} // name -> files
	for _, path := range texts(t) {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range variable.FindAllString(string(content), -1) {
			if !slices.Contains(used[name], path) {
				used[name] = append(used[name], path)
			}
		}
	}
	if len(used["POLLER_FUNCTION_URL"]) < 3 {
		t.Errorf("POLLER_FUNCTION_URL was found in %v alone: the test does not see the files", used["POLLER_FUNCTION_URL"])
	}
	for name, paths := range used {
		if !known[name] {
			t.Errorf("%s is no setting of either program; used in %s", name, strings.Join(paths, ", "))
		}
	}
}

var variable = regexp.MustCompile(`\b(POLLER|FN)_[A-Z0-9][A-Z0-9_]*\b`)

func settings() map[string]bool {
	known := map[string]bool{}
	for _, s := range append(config.Settings(poller.Prefix, new(poller.Config)), config.Settings("FN", new(functions.Config))...) {
		known[s.Name] = true
	}
	return known
}

// texts are the files of infra and local, Makefile, Dockerfiles and README. Go tests are left out: they misspell on purpose.
func texts(t *testing.T) (paths []string) {
	for _, pattern := range []string{"../README.md", "../Makefile", "../Dockerfile.*"} {
		match, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, match...)
	}
	for _, root := range []string{".", "../local"} {
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.Type().IsRegular() && !strings.HasSuffix(path, "_test.go") {
				paths = append(paths, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return paths
}
