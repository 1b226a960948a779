package poller

import (
	"context"
	"fmt"
	"slices"

	"freshet/poller/backfill"
	"freshet/poller/catalog"
	"freshet/poller/pgoutput"
	"freshet/poller/render"
	"freshet/poller/row"
	"freshet/shared/change"
	"freshet/shared/exchange"
)

// tables are the tables of a life.
type tables struct {
	found   []catalog.Table
	byName  map[change.Table]catalog.Table
	plan    exchange.Plan
	types   *catalog.Types
	layouts map[string]*row.Layout // as the catalog has them now
}

func newTables(found []catalog.Table) tables {
	t := tables{found: found, byName: map[change.Table]catalog.Table{}, types: &catalog.Types{}, layouts: map[string]*row.Layout{}}
	for _, f := range found {
		t.byName[f.Table] = f
	}
	return t
}

// shapes is what the function is told of them.
func (t tables) shapes() (all []exchange.TableShape) {
	for _, f := range t.found {
		all = append(all, exchange.TableShape{Schema: f.Table.Schema, Name: f.Table.Name, PrimaryKey: f.PrimaryKey, Columns: published(f)})
	}
	return all
}

// published names the columns that the stream carries: Postgres leaves generated ones out.
func published(t catalog.Table) (names []string) {
	for _, c := range t.Columns {
		if !c.Generated {
			names = append(names, c.Name)
		}
	}
	return names
}

// fromCatalog is the layout of a table as it is now, for the backfill.
func (l *life) fromCatalog(ctx context.Context, t catalog.Table) (*row.Layout, error) {
	var names []string
	var oids []uint32
	for _, c := range t.Columns {
		if !c.Generated {
			names, oids = append(names, c.Name), append(oids, c.Type)
		}
	}
	return l.newLayout(ctx, t.Table, names, oids, t.PrimaryKey, t.From())
}

func (l *life) newLayout(ctx context.Context, t change.Table, names []string, oids []uint32, key []string, from string) (*row.Layout, error) {
	if err := l.tables.types.Load(ctx, l.catalog, oids); err != nil {
		return nil, err
	}
	types := make([]*render.Type, len(oids))
	for i, oid := range oids {
		types[i] = l.tables.types.Get(oid)
	}
	layout, err := row.New(t, names, types, key, l.tables.plan.Tables[t.String()].OneLane)
	if err != nil {
		return nil, err
	}
	layout.From = from
	layout.Fixed = !slices.ContainsFunc(oids, func(oid uint32) bool { return render.Builtin(oid) == nil })
	return layout, nil
}

// layout tells how a relation of the stream is written. The stream shows a table as it was when the change was made; the catalog as it
// is now, so the key's columns are taken from the catalog only as far as the relation agrees.
func (l *life) layout(ctx context.Context, r *pgoutput.Relation) (*row.Layout, error) {
	if _, ours := l.tables.byName[r.Table]; !ours {
		return nil, nil
	}
	now, _, err := catalog.Tables(ctx, l.catalog, []catalog.Pattern{{Schema: r.Table.Schema, Name: r.Table.Name}})
	if err != nil {
		return nil, err
	}
	from := r.Table.SQL()
	var key []string
	if len(now) == 1 {
		key, from = now[0].PrimaryKey, now[0].From()
	}
	names, oids := make([]string, len(r.Columns)), make([]uint32, len(r.Columns))
	for i, c := range r.Columns {
		names[i], oids[i] = c.Name, c.Type
	}
	key, err = primaryKey(r, key)
	if err != nil {
		return nil, err
	}
	return l.newLayout(ctx, r.Table, names, oids, key, from)
}

// primaryKey reconciles the key that the catalog has with the relation's. Under the default identity the relation flags just the primary key's columns, but
// not their order; under any other it does not tell.
func primaryKey(r *pgoutput.Relation, now []string) ([]string, error) {
	var flagged, all []string
	for _, c := range r.Columns {
		all = append(all, c.Name)
		if c.Key {
			flagged = append(flagged, c.Name)
		}
	}
	known := len(now) > 0 && !slices.ContainsFunc(now, func(n string) bool { return !slices.Contains(all, n) })
	if r.Identity != 'd' {
		if !known {
			return nil, fmt.Errorf("table %s has no primary key any more", r.Table)
		}
		return now, nil
	}
	if known && (sameSet(now, flagged) || len(flagged) == 0) { // without a key there were only inserts, which have all columns
		return now, nil
	}
	if len(flagged) == 0 {
		return nil, fmt.Errorf("table %s had no primary key when this change was made", r.Table)
	}
	return flagged, nil
}

func sameSet(a, b []string) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(x string) bool { return !slices.Contains(b, x) })
}

// tasks are the tables that have rows to be read, in the order of their names, with the layouts of all.
func (l *life) tasks(ctx context.Context, states map[string]change.Backfill) (all []backfill.Task, err error) {
	count := map[change.BackfillState]int{}
	for _, t := range l.tables.found {
		name := t.Table.String()
		layout, err := l.fromCatalog(ctx, t)
		if err != nil {
			return nil, err
		}
		l.tables.layouts[name] = layout
		state := states[name]
		count[state.State]++
		if state.State == change.BackfillClear && l.config.Backfill.Backfill == backfillInitial {
			state = change.Backfill{State: change.BackfillPending}
		}
		if state.State == change.BackfillPending || state.State == change.BackfillRunning {
			all = append(all, backfill.Task{Layout: layout, Progress: state})
		}
	}
	for _, s := range []change.BackfillState{change.BackfillPending, change.BackfillRunning, change.BackfillDone, change.BackfillOff, change.BackfillClear} {
		l.metrics.BackfillTables.WithLabelValues(string(s)).Set(float64(count[s]))
	}
	return all, nil
}
