package shared_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// module is what our own imports begin with.
const module = "freshet/"

// trees say which of our own trees each tree may import, apart from itself. Tests may also import local,
// which has the servers, and infra.
var trees = map[string][]string{
	"shared":    {},
	"poller":    {"shared"},
	"functions": {"shared"},
	"local":     {"shared", "poller", "functions", "infra"},
	"infra":     {"shared", "poller", "functions", "local"},
}

// libraries say which trees may import a library. Local and infra may import all.
var libraries = map[string]string{
	"github.com/jackc/pgx/":      "poller",
	"github.com/jackc/pglogrepl": "poller",
	"github.com/redis/go-redis/": "functions",
	"github.com/labstack/echo/":  "functions",
}

// TestBoundaries parses every file, so that its result is cached only as long as none of them changes.
func TestBoundaries(t *testing.T) {
	for tree := range trees {
		seen := 0
		for _, file := range goFiles(t, filepath.Join("..", tree)) {
			seen++
			for _, path := range imports(t, file) {
				if why := forbidden(tree, strings.HasSuffix(file, "_test.go"), path); why != "" {
					t.Errorf("%s imports %s: %s", file, path, why)
				}
			}
		}
		if seen == 0 && tree != "infra" {
			t.Errorf("tree %s has no Go files: is it somewhere else now?", tree)
		}
	}
}

func forbidden(tree string, test bool, path string) string {
	if own, ok := strings.CutPrefix(path, module); ok {
		other, _, _ := strings.Cut(own, "/")
		if other == tree || test && (other == "local" || other == "infra") || slices.Contains(trees[tree], other) {
			return ""
		}
		return tree + " must not know " + other
	}
	for library, owner := range libraries {
		if strings.HasPrefix(path+"/", strings.TrimSuffix(library, "/")+"/") && !slices.Contains([]string{owner, "local", "infra"}, tree) {
			return library + " stays in " + owner
		}
	}
	return ""
}

func TestForbidden(t *testing.T) {
	for _, c := range []struct {
		tree string
		test bool
		path string
		bad  bool
	}{
		{"poller", false, "freshet/shared/change", false},
		{"poller", false, "freshet/poller/lane", false},
		{"poller", false, "freshet/functions", true},
		{"poller", true, "freshet/functions/rules", true},
		{"functions", false, "freshet/poller/lane", true},
		{"shared", false, "freshet/poller", true},
		{"poller", false, "freshet/local/pgtest", true},
		{"poller", true, "freshet/local/pgtest", false},
		{"local", false, "freshet/poller", false},
		{"infra", true, "freshet/functions", false},
		{"functions", false, "github.com/jackc/pgx/v5", true},
		{"functions", false, "github.com/jackc/pglogrepl", true},
		{"poller", false, "github.com/jackc/pgx/v5/pgconn", false},
		{"poller", true, "github.com/redis/go-redis/v9", true},
		{"shared", false, "github.com/labstack/echo/v4", true},
		{"local", false, "github.com/redis/go-redis/v9", false},
		{"shared", false, "encoding/json", false},
	} {
		if got := forbidden(c.tree, c.test, c.path); (got != "") != c.bad {
			t.Errorf("%s imports %s (in a test: %v): got %q", c.tree, c.path, c.test, got)
		}
	}
}

func goFiles(t *testing.T, root string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && strings.HasSuffix(path, ".go") {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func imports(t *testing.T, file string) (paths []string) {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	for _, spec := range parsed.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	return paths
}
