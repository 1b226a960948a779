package rules_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"freshet/functions/effect"
	"freshet/functions/rules"
	"freshet/shared/change"
	"freshet/shared/exchange"
)

// stock is a table of products with a unique sku, some of them sold, and what a poller says of its changes under REPLICA IDENTITY FULL.
type stock struct {
	rows map[int]product
	said []change.Message
}

type product struct {
	id       int
	sku      string // empty for null
	category string
	sold     bool
}

func (p product) record() string {
	sku := "null"
	if p.sku != "" {
		sku = `"` + p.sku + `"`
	}
	return fmt.Sprintf(`{"id":%d,"sku":%s,"category":%q,"sold":%v}`, p.id, sku, p.category, p.sold)
}

func (p product) changes(from product) string {
	var all []string
	old := strings.Split(strings.Trim(from.record(), "{}"), ",")
	for i, member := range strings.Split(strings.Trim(p.record(), "{}"), ",") {
		if member != old[i] {
			all = append(all, old[i])
		}
	}
	return "{" + strings.Join(all, ",") + "}"
}

func (s *stock) say(a change.Action, record, changes string) {
	m := row(a, "products", record, "id")
	m.Changes = changes
	s.said = append(s.said, m)
}

func (s *stock) insert(p product) {
	s.rows[p.id] = p
	s.say(change.Insert, p.record(), "")
}

func (s *stock) update(from, to product) {
	delete(s.rows, from.id)
	s.rows[to.id] = to
	if from.id != to.id { // the old key goes in its own lane
		s.say(change.Delete, from.record(), "")
	}
	s.say(change.Update, to.record(), to.changes(from))
}

func (s *stock) delete(p product) {
	delete(s.rows, p.id)
	s.say(change.Delete, p.record(), "")
}

func (s *stock) taken(sku string) bool {
	for _, p := range s.rows {
		if sku != "" && p.sku == sku {
			return true
		}
	}
	return false
}

// Whatever happens to the rows, in the end there is a key for each that is to have one, with its newest value, and no other.
func TestKeysFollowTheirRows(t *testing.T) {
	for _, c := range []struct {
		rules string
		keys  func(p product) []string
	}{
		{`[{"table":"*","key":"sku:{record.sku}","filter":[{"path":"record.sku","op":"not_null"}]}]`, func(p product) []string { return []string{"sku:" + p.sku} }},
		{`[{"table":"*","key":"id:{primary_key}","filter":[{"path":"record.sold","op":"=","value":false}]},
		   {"table":"*","key":"sku:{record.sku}","filter":[{"path":"record.sku","op":"not_null"}]},
		   {"table":"*","key":"in:{record.category}:{primary_key}"}]`, func(p product) []string {
			all := []string{fmt.Sprintf("in:%s:%d", p.category, p.id), "sku:" + p.sku}
			if !p.sold {
				all = append(all, fmt.Sprintf("id:%d", p.id))
			}
			return all
		}},
	} {
		config := defaults()
		config.Rules = c.rules
		r := compile(t, config)
		plan, err := r.Plan([]exchange.TableShape{{Schema: "public", Name: "products", PrimaryKey: []string{"id"}, OldColumns: []string{"id", "sku", "category", "sold"}}})
		if err != nil {
			t.Fatal(err)
		}
		rapid.Check(t, func(rt *rapid.T) {
			s := &stock{rows: map[int]product{}}
			draw := func() product {
				return product{
					id: rapid.IntRange(1, 4).Draw(rt, "id"), sku: rapid.SampledFrom([]string{"", "A", "B", "C"}).Draw(rt, "sku"),
					category: rapid.SampledFrom([]string{"x", "y"}).Draw(rt, "category"), sold: rapid.Bool().Draw(rt, "sold"),
				}
			}
			for range rapid.IntRange(1, 40).Draw(rt, "changes") {
				p := draw()
				old, there := s.rows[p.id]
				switch {
				case !there && !s.taken(p.sku):
					s.insert(p)
				case there && rapid.Bool().Draw(rt, "delete"):
					s.delete(old)
				case there:
					next := draw()
					if _, other := s.rows[next.id]; other && next.id != old.id || next.sku != old.sku && s.taken(next.sku) {
						continue
					}
					s.update(old, next)
				}
			}
			want := map[string]string{}
			for _, p := range s.rows {
				for _, key := range c.keys(p) {
					if key != "sku:" {
						want[key] = p.record()
					}
				}
			}
			if diff := cmp.Diff(want, settle(rt, r, plan.Tables["public.products"].OneLane, s.said)); diff != "" {
				rt.Fatalf("%v\n%s", s.said, diff)
			}
		})
	}
}

// settle applies the messages, in batches of any size. Without one lane, rows of other keys may go first.
func settle(rt *rapid.T, r *rules.Rules, oneLane bool, said []change.Message) map[string]string {
	if !oneLane {
		rt.Fatal("a key that is not of the primary key needs one lane")
	}
	keys := map[string]string{}
	renderer := &rules.Renderer{Rules: r}
	var b effect.Batch
	for i := range said {
		if _, err := renderer.Render(&said[i], &b); err != nil {
			rt.Fatal(err)
		}
		if i < len(said)-1 && rapid.Bool().Draw(rt, "same batch") {
			continue
		}
		for _, w := range b.Writes {
			if delete(keys, w.Key); !w.Delete {
				keys[strings.Clone(w.Key)] = w.Value
			}
		}
		b.Reset()
	}
	return keys
}
