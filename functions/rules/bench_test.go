package rules_test

import (
	"fmt"
	"testing"

	"freshet/functions/effect"
	"freshet/functions/rules"
	"freshet/local/race"
	"freshet/shared/change"
)

// benchRows is how many messages the batches of the benchmarks have.
const benchRows = 1000

// items are updates of the table of local/bench, with old values as REPLICA IDENTITY FULL sends them when changes is set.
func items(changes bool) []change.Message {
	all := make([]change.Message, benchRows)
	for n := range all {
		record := fmt.Sprintf(`{"id":%d,"sku":"SKU-%010d","name":"Product number %d","price":%d.99,"stock":%d,"active":true,"weight":%d.25,"created_at":"2026-01-02T10:17:36+00:00","note":"a note of medium length on product %d"}`, n, n, n, n, n%100, n, n)
		all[n] = row(change.Update, "items", record, "id")
		if changes {
			all[n].Changes = `{"price":0.99,"note":null}`
		}
	}
	return all
}

// benchRules are what users write, from little to all that there is.
var benchRules = []struct {
	name    string
	edit    func(*rules.Config)
	changes bool
	// allocations that a row takes: those of a value that is made, and gjson's.
	allocations float64
}{
	{"default", func(*rules.Config) {}, false, 0},
	{"path", func(c *rules.Config) { c.Value = "record.name" }, false, 0},
	{"projection", func(c *rules.Config) { c.Value = `record.{name,price,"left":stock}` }, false, 1},
	{"projection-by-gjson", func(c *rules.Config) { c.Value = `record.{name,price,"left":stock.@this}` }, false, 8},
	{"map", func(c *rules.Config) { c.Value = `{"name":"record.name","price":"record.price","left":"record.stock"}` }, false, 1},
	{"map-of-paths", func(c *rules.Config) {
		c.Value = `{"name":"record.name","price":"record.price","left.now":"record.stock.@this"}`
	}, false, 1},
	{"key-of-parts", func(c *rules.Config) { c.Key = "{table_schema}:{table_name}:{primary_key}:{record.sku}" }, false, 0},
	{"key-that-may-change", func(c *rules.Config) { c.Key = "item:{record.sku}:{record.stock}" }, true, 0},
	{"filter", func(c *rules.Config) {
		c.Filter = `[{"path":"record.active","op":"=","value":true},{"path":"record.price","op":">=","value":0.5}]`
	}, false, 1},
	{"expiry", func(c *rules.Config) { c.ExpireMS, c.ExpireJitter = "3600000", "10" }, false, 0},
	{"several", func(c *rules.Config) {
		c.Rules = `[{"table":"*","key":"id:{primary_key}"},{"table":"items","key":"sku:{record.sku}","value":{"name":"record.name"},"filter":[{"path":"record.active","op":"=","value":true}]},{"table":"orders","key":"o:{primary_key}"}]`
	}, true, 1},
}

// gatherer renders the same batch again and again.
type gatherer struct {
	renderer rules.Renderer
	batch    effect.Batch
	messages []change.Message
}

func newGatherer(t testing.TB, edit func(*rules.Config), changes bool) *gatherer {
	c := defaults()
	edit(&c)
	return &gatherer{renderer: rules.Renderer{Rules: compile(t, c)}, messages: items(changes)}
}

func (g *gatherer) run(t testing.TB) {
	g.batch.Reset()
	for i := range g.messages {
		if kept, err := g.renderer.Render(&g.messages[i], &g.batch); !kept || err != nil {
			t.Fatal(kept, err)
		}
	}
}

func BenchmarkRender(b *testing.B) {
	for _, c := range benchRules {
		b.Run(c.name, func(b *testing.B) {
			g := newGatherer(b, c.edit, c.changes)
			b.ReportAllocs()
			for b.Loop() {
				g.run(b)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*benchRows), "ns/row")
		})
	}
}

func TestRender_AllocatesWhatItMakes(t *testing.T) {
	if race.Enabled {
		t.Skip("gjson allocates more under the race detector")
	}
	for _, c := range benchRules {
		g := newGatherer(t, c.edit, c.changes)
		g.run(t)
		n := testing.AllocsPerRun(10, func() { g.run(t) })
		if n > c.allocations*benchRows {
			t.Errorf("%s: %v allocations for %d rows", c.name, n, benchRows)
		}
	}
}
