// Command generate writes what is derived from the settings' structs: the tables in CONFIG.md and the sample settings in
// local/env. With -check it writes nothing and fails when a file is stale.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"freshet/functions"
	"freshet/poller"
	"freshet/shared/config"
	"freshet/shared/problem"
)

func main() {
	check := flag.Bool("check", false, "write nothing; fail when a file is stale")
	flag.Parse()
	if err := run(*check); err != nil {
		problem.Print(os.Stderr, "generate", err)
		os.Exit(1)
	}
}

func run(check bool) error {
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	if check {
		return stale(root).OrNil()
	}
	for name, text := range files() {
		if err := os.WriteFile(filepath.Join(root, name), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// files are the generated files by their path in the repository.
func files() map[string][]byte {
	poll := map[string]string{
		"DATABASE_URL":        "postgres://postgres:postgres@127.0.0.1:5432/shop",
		"POLLER_FUNCTION_URL": "http://127.0.0.1:8080",
		"POLLER_TABLES":       "products,orders",
	}
	fn := map[string]string{"REDIS_URL": "redis://127.0.0.1:6379", "PORT": "8080"}
	return map[string][]byte{
		"poller/CONFIG.md":     page("poller", poller.Prefix, new(poller.Config)),
		"functions/CONFIG.md":  page("function", "FN", new(functions.Config)),
		"local/env/poller.env": sample("poller", poller.Prefix, new(poller.Config), poll),
		"local/env/fn.env":     sample("function", "FN", new(functions.Config), fn),
	}
}

func page(program, prefix string, spec any) []byte {
	return fmt.Appendf(nil, `# Settings of the %s

<!-- Written by make generate, from the structs that hold the settings. Change the descriptions there. -->

All come from the environment. A missing, malformed or misspelt one ends the start with exit code %d; all are reported at once.

%s`, program, config.ExitCode, config.Table(prefix, spec))
}

func sample(program, prefix string, spec any, given map[string]string) []byte {
	return fmt.Appendf(nil, `# Settings of the %s for the servers of make up. Written by make generate.

%s`, program, config.Sample(prefix, spec, given))
}

// stale lists the files that are not what they would be written as.
func stale(root string) (found problem.List) {
	all := files()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		text, err := os.ReadFile(filepath.Join(root, name))
		why := "the settings in the code are different"
		switch {
		case errors.Is(err, fs.ErrNotExist):
			why = "it is not there"
		case err != nil:
			why = err.Error()
		case bytes.Equal(text, all[name]):
			continue
		}
		found = append(found, &problem.Error{What: name + " is stale", Why: why, Fix: "make generate"})
	}
	return found
}

// moduleRoot is the folder of go.mod.
func moduleRoot() (string, error) {
	path, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find go.mod: %w", err)
	}
	return filepath.Dir(string(bytes.TrimSpace(path))), nil
}
