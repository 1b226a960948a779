package demo

import (
	"fmt"
	"os"
	"strings"

	"freshet/local/stack"
	"freshet/shared/problem"
)

// EnvShop names the variable that lets the shop into a database that the user named.
const EnvShop = "FRESHET_DEMO_SHOP"

// place is where everything is: addresses, and the settings of both programs.
type place struct {
	database, redis         string // "" until the throw-away server runs
	foreign                 bool   // the database is the user's
	sells                   bool
	functionPort, adminPort int
	given                   map[string]string // POLLER_* and FN_* of the user's environment
}

func placeFromEnvironment() (place, error) {
	p := place{
		database: os.Getenv("DATABASE_URL"), redis: os.Getenv("REDIS_URL"),
		functionPort: stack.FreePort(), adminPort: stack.FreePort(), given: given(),
	}
	p.foreign = p.database != ""
	p.sells = !p.foreign || os.Getenv(EnvShop) == "on"
	if !p.sells && p.given["POLLER_TABLES"] == "" {
		return p, &problem.Error{
			What: "POLLER_TABLES is needed",
			Why:  "DATABASE_URL is set, so the shop stays out of that database",
			Fix:  "name the tables to mirror in POLLER_TABLES, or set " + EnvShop + "=on to let the demo shop make its tables there",
		}
	}
	return p, nil
}

// given are the settings that the user makes for the programs.
func given() map[string]string {
	settings := map[string]string{}
	for _, entry := range os.Environ() {
		name, value, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, "POLLER_") || strings.HasPrefix(name, "FN_") {
			settings[name] = value
		}
	}
	return settings
}

func (p place) functionURL() string { return fmt.Sprintf("http://127.0.0.1:%d", p.functionPort) }

func (p place) adminURL() string {
	if address := p.given["POLLER_ADMIN_ADDR"]; address != "" {
		return "http://" + address
	}
	return fmt.Sprintf("http://127.0.0.1:%d", p.adminPort)
}

func (p place) functionEnv() map[string]string {
	return p.with("FN_", map[string]string{"REDIS_URL": p.redis, "PORT": fmt.Sprint(p.functionPort)})
}

func (p place) pollerEnv() map[string]string {
	return p.with("POLLER_", map[string]string{
		"DATABASE_URL":        p.database,
		"POLLER_FUNCTION_URL": p.functionURL(),
		"POLLER_ADMIN_ADDR":   fmt.Sprintf("127.0.0.1:%d", p.adminPort),
		"POLLER_TABLES":       stack.ShopTables,
	})
}

// with puts what the user gave over ours.
func (p place) with(prefix string, env map[string]string) map[string]string {
	for name, value := range p.given {
		if strings.HasPrefix(name, prefix) {
			env[name] = value
		}
	}
	return env
}

// name is a setting of the poller, or freshet, the default of slot and publication.
func (p place) name(setting string) string {
	if value := p.given[setting]; value != "" {
		return value
	}
	return "freshet"
}
