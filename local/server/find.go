package server

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"

	"freshet/shared/problem"
)

// LeastPostgres is the oldest major version that freshet reads from.
const LeastPostgres = 14

// EnvPostgresBin names the variable that points to the folder of Postgres' programs and ends the search.
const EnvPostgresBin = "FRESHET_POSTGRES_BIN"

// Found is what there is on this machine; what is missing is empty.
type Found struct {
	PostgresBin   string // folder with postgres and initdb, the newest there is
	PostgresMajor int
	RedisServer   string // path of redis-server or valkey-server
}

// postgresPlaces is where packagers put Postgres' programs, of which few are in PATH.
var postgresPlaces = []string{
	"/usr/lib/postgresql/*/bin",                          // Debian, Ubuntu
	"/usr/pgsql-*/bin",                                   // the project's own RPMs
	"/usr/libexec/postgresql*",                           // Alpine
	"/opt/homebrew/opt/postgresql*/bin",                  // Homebrew, Apple silicon
	"/usr/local/opt/postgresql*/bin",                     // Homebrew, Intel
	"/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",     // Homebrew on Linux
	"/Applications/Postgres.app/Contents/Versions/*/bin", // Postgres.app
	"/usr/local/pgsql/bin",                               // built from source
}

// redisPrograms are the names under which the server exists; Valkey is its fork under the old licence.
var redisPrograms = []string{
	"redis-server", "/opt/homebrew/bin/redis-server", "/usr/local/bin/redis-server",
	"valkey-server", "/opt/homebrew/bin/valkey-server",
}

// Find looks for Postgres and Redis. The error lists what is missing; Found has the rest.
func Find() (Found, error) {
	var found Found
	var missing problem.List
	found.PostgresBin, found.PostgresMajor = findPostgres()
	if found.PostgresBin == "" {
		missing = append(missing, missingPostgres())
	}
	found.RedisServer = firstProgram(redisPrograms)
	if found.RedisServer == "" {
		missing = append(missing, &problem.Error{What: "there is no Redis server on this machine", Fix: byHand()})
	}
	return found, missing.OrNil()
}

func missingPostgres() *problem.Error {
	if dir := os.Getenv(EnvPostgresBin); dir != "" {
		return &problem.Error{
			What: fmt.Sprintf("%s has no Postgres %d or newer", dir, LeastPostgres),
			Why:  EnvPostgresBin + " points there",
			Fix:  "point it to the folder with the programs postgres and initdb, or unset it",
		}
	}
	return &problem.Error{What: fmt.Sprintf("there is no Postgres %d or newer on this machine", LeastPostgres), Fix: byHand()}
}

// Tool is the path of one of Postgres' client programs, such as pgbench; empty when there is none.
func (f Found) Tool(name string) string {
	return tool(f.PostgresBin, name)
}

// tool prefers the program that came with the server; a server without client programs is served by those of any other.
func tool(bin, name string) string {
	candidates := append([]string{bin}, postgresFolders()...)
	for _, dir := range candidates {
		if path := filepath.Join(dir, name); dir != "" && executable(path) {
			return path
		}
	}
	return firstProgram([]string{name})
}

func findPostgres() (bin string, major int) {
	folders := postgresFolders()
	if dir := os.Getenv(EnvPostgresBin); dir != "" {
		folders = []string{dir}
	}
	for _, dir := range folders {
		if v := postgresMajor(dir); v >= LeastPostgres && v > major {
			bin, major = dir, v
		}
	}
	return bin, major
}

func postgresFolders() (folders []string) {
	for _, place := range postgresPlaces {
		match, _ := filepath.Glob(place) // the patterns are constant and valid
		folders = append(folders, match...)
	}
	if path, err := exec.LookPath("initdb"); err == nil {
		folders = append(folders, filepath.Dir(path))
	}
	return folders
}

var versionPattern = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

// postgresMajor asks the server in a folder for its version; 0 when there is no complete one.
func postgresMajor(dir string) int {
	if !executable(filepath.Join(dir, "initdb")) {
		return 0
	}
	text, err := exec.Command(filepath.Join(dir, "postgres"), "--version").Output()
	if err != nil {
		return 0
	}
	match := versionPattern.FindSubmatch(text)
	if match == nil {
		return 0
	}
	major, err := strconv.Atoi(string(match[1]))
	if err != nil {
		return 0
	}
	return major
}

func firstProgram(names []string) string {
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// OnPath is the path of a program that the shell would find; empty when it would not.
func OnPath(name string) string { return firstProgram([]string{name}) }
