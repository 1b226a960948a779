package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"freshet/shared/exchange"
)

// planner is a function whose plan is what a test says: in front of the rig's own, it changes the answers to opened sessions.
type planner struct {
	mu     sync.Mutex
	tables map[string]exchange.TablePlan
}

func newPlanner(r *rig) *planner {
	p := &planner{}
	to, err := url.Parse(r.fnURL())
	if err != nil {
		r.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.ModifyResponse = p.answer
	s := httptest.NewServer(proxy)
	r.Cleanup(s.Close)
	r.pollExtra["POLLER_FUNCTION_URL"] = s.URL
	return p
}

func (p *planner) plan(table string, t exchange.TablePlan) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tables = map[string]exchange.TablePlan{table: t}
}

func (p *planner) answer(response *http.Response) error {
	if response.Request.URL.Path != exchange.RouteSessions || response.StatusCode != http.StatusOK {
		return nil
	}
	var opened exchange.OpenResponse
	if err := json.NewDecoder(response.Body).Decode(&opened); err != nil {
		return err
	}
	p.mu.Lock()
	for table, t := range p.tables {
		t.KeyPrefix = opened.Plan.Tables[table].KeyPrefix
		opened.Plan.Tables[table] = t
	}
	p.mu.Unlock()
	text, err := json.Marshal(opened)
	if err != nil {
		return err
	}
	response.Body, response.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
	response.Header.Set("Content-Length", strconv.Itoa(len(text)))
	return nil
}

const wares = `CREATE TABLE wares (id int PRIMARY KEY, note text, name text, price numeric, body text, twice int GENERATED ALWAYS AS (1) STORED, sku text);
	ALTER TABLE wares ALTER body SET STORAGE EXTERNAL; ALTER TABLE wares ALTER note SET STORAGE EXTERNAL;
	INSERT INTO wares (id, note, name, price, body, sku) SELECT n, repeat('n', 4000), 'ware ' || n, n, repeat('b', 4000), 's' || n FROM generate_series(1, 50) n;`

// listed are the columns of wares that the publication has.
func (r *rig) listed() string {
	return r.text("SELECT array_to_string(attnames, ',') FROM pg_publication_tables WHERE pubname = 'freshet'")
}

// pick is the query for the keys of wares and their values of some columns.
func pick(columns string) string {
	return "SELECT 'sequin:wares:' || id, (SELECT to_json(x)::text FROM (SELECT " + columns + ") x) FROM wares"
}

func TestThePublicationIsNarrowedToWhatTheRulesUse(t *testing.T) {
	t.Parallel()
	r := newRig(t, "wares", wares)
	p := newPlanner(r)
	p.plan("public.wares", exchange.TablePlan{UsedColumns: []string{"price", "name", "no_such_column"}})
	r.start()
	narrow := pick("id, name, price")
	r.wantExactly(patience, narrow)
	if got := r.listed(); got != "id,name,price" {
		t.Errorf("published are %s", got)
	}
	r.exec("INSERT INTO wares (id, name, body) VALUES (100, 'new', 'x'); UPDATE wares SET price = price + 1 WHERE id < 20; UPDATE wares SET note = 'other' WHERE id < 10")
	r.exec("UPDATE wares SET id = id + 1000 WHERE id IN (3, 4); DELETE FROM wares WHERE id = 5")
	r.wantExactly(patience, narrow)

	// What changed while the publication was narrow is read again once the rules use more: nothing else makes these rows right, since the
	// function says that its rules are the same.
	r.stop(r.poller)
	r.exec("UPDATE wares SET price = 0.5 WHERE id BETWEEN 10 AND 14; INSERT INTO wares (id, name, body) VALUES (101, 'new', repeat('y', 4000)); DELETE FROM wares WHERE id = 15")
	p.plan("public.wares", exchange.TablePlan{UsedColumns: []string{"price", "name", "body"}})
	r.launchPoller()
	r.exec("UPDATE wares SET price = 0.25 WHERE id = 20") // the body, which has not changed, is not in the stream
	const wide = " WHERE id BETWEEN 10 AND 14 OR id IN (20, 101)"
	const same = " WHERE NOT (id BETWEEN 10 AND 14 OR id IN (20, 101))"
	r.wantExactly(patience, pick("id, name, price, body")+wide, narrow+same)
	if got := r.listed(); got != "id,name,price,body" {
		t.Errorf("published are %s", got)
	}

	// And to all of them.
	r.stop(r.poller)
	r.exec("UPDATE wares SET price = 7 WHERE id = 21")
	r.pollExtra["POLLER_NARROW"] = "off"
	r.launchPoller()
	r.exec("UPDATE wares SET price = 8 WHERE id = 22")
	all := pick("id, note, name, price, body, sku") + " WHERE id IN (21, 22)"
	r.wantExactly(patience, all, pick("id, name, price, body")+wide, narrow+same+" AND id NOT IN (21, 22)")
	if got := r.text("SELECT prattrs IS NULL FROM pg_publication_rel"); got != "true" {
		t.Error("the publication has a list still")
	}
}

// A new identity makes the application's updates fail as long as the publication does not have its columns. That must not last.
func TestANarrowedPublicationFollowsTheIdentity(t *testing.T) {
	t.Parallel()
	r := newRig(t, "wares", wares)
	newPlanner(r).plan("public.wares", exchange.TablePlan{UsedColumns: []string{"name"}})
	r.start()
	r.wantExactly(patience, pick("id, name"))
	r.exec("ALTER TABLE wares REPLICA IDENTITY FULL")
	began := time.Now()
	eventually(t, patience, func() error {
		_, err := r.db.Exec(t.Context(), "UPDATE wares SET name = 'updated', price = 3 WHERE id = 1")
		return err
	})
	t.Logf("updates failed for %s", time.Since(began))
	r.wantExactly(patience, pick("id, name")+" WHERE id <> 1", pick("id, note, name, price, body, sku")+" WHERE id = 1")
	r.exec("ALTER TABLE wares REPLICA IDENTITY DEFAULT")
	r.stop(r.poller)
	r.launchPoller()
	eventually(t, patience, func() error {
		if got := r.listed(); got != "id,name" {
			return fmt.Errorf("published are %s", got)
		}
		return nil
	})
	r.exec("UPDATE wares SET name = 'again' WHERE id = 1")
	r.wantExactly(patience, pick("id, name"))
}

func TestSomebodyElsesPublicationIsNotNarrowed(t *testing.T) {
	t.Parallel()
	r := newRig(t, "wares", wares+"CREATE PUBLICATION freshet FOR TABLE wares")
	newPlanner(r).plan("public.wares", exchange.TablePlan{UsedColumns: []string{"name"}})
	r.start()
	r.wantExactly(patience, pick("id, note, name, price, body, sku"))
	r.exec("UPDATE wares SET price = 7 WHERE id = 21")
	r.wantExactly(patience, pick("id, note, name, price, body, sku"))
	if got := r.text("SELECT prattrs IS NULL FROM pg_publication_rel"); got != "true" {
		t.Error("the publication has a list")
	}
}

func TestKeysOfOtherColumnsNeedAFullIdentity(t *testing.T) {
	t.Parallel()
	r := newRig(t, "wares", wares)
	newPlanner(r).plan("public.wares", exchange.TablePlan{UsedColumns: []string{"name", "sku"}, KeyColumns: []string{"sku"}, OneLane: true})
	r.launchFn()
	r.launchPoller()
	r.wantExit(r.poller, 1)
	for _, says := range []string{"the replica identity of table public.wares does not tell the keys", "make keys of sku", "REPLICA IDENTITY FULL"} {
		if !strings.Contains(r.poller.Log(), says) {
			t.Errorf("it does not say %q:\n%s", says, r.poller.Log())
		}
	}
	r.exec("ALTER TABLE wares REPLICA IDENTITY FULL")
	r.launchPoller()
	r.wantExactly(patience, pick("id, note, name, price, body, sku"))
}
