package poller

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/cespare/xxhash/v2"

	"freshet/poller/backfill"
	"freshet/poller/catalog"
	"freshet/poller/pgoutput"
	"freshet/poller/render"
	"freshet/poller/replication"
	"freshet/poller/row"
	"freshet/shared/change"
	"freshet/shared/exchange"
)

// tables are the tables of a life.
type tables struct {
	found   []catalog.Table
	shapes  []exchange.TableShape // as they were when the life began
	byName  map[change.Table]catalog.Table
	byOID   map[uint32]change.Table
	plan    exchange.Plan
	types   *catalog.Types
	layouts map[string]*row.Layout // as the catalog has them now

	columns  map[change.Table][]string // that are published, where these are not all
	narrowed bool                      // the publication has, or had, column lists of ours
}

func newTables(found []catalog.Table) tables {
	t := tables{found: found, byName: map[change.Table]catalog.Table{}, byOID: map[uint32]change.Table{}, types: &catalog.Types{}, layouts: map[string]*row.Layout{}, columns: map[change.Table][]string{}}
	for _, f := range found {
		t.byName[f.Table] = f
		t.byOID[f.OID] = f.Table
	}
	return t
}

// shapesByName has the same by change.Table.String().
func (t tables) shapesByName() map[string]exchange.TableShape {
	all := map[string]exchange.TableShape{}
	for _, s := range t.shapes {
		all[s.Table().String()] = s
	}
	return all
}

// shapes is what the function is told of these tables.
func shapes(ctx context.Context, q catalog.Querier, found []catalog.Table) (all []exchange.TableShape, err error) {
	var types catalog.Types
	for _, f := range found {
		shape := exchange.TableShape{Schema: f.Table.Schema, Name: f.Table.Name, PrimaryKey: f.PrimaryKey, Columns: published(f)}
		if shape.Identity, shape.Shape, err = fingerprints(ctx, q, &types, f); err != nil {
			return nil, err
		}
		if f.Identity == 'f' { // by any other identity, an update does not tell what it changed
			shape.OldColumns = shape.Columns
		}
		for _, c := range f.Columns {
			if freeText[types.Get(c.Type).Name] {
				shape.TextColumns = append(shape.TextColumns, c.Name)
			}
		}
		all = append(all, shape)
	}
	return all, nil
}

// freeText are the types whose text can hold anything.
var freeText = map[string]bool{"text": true, "varchar": true, "bpchar": true, "name": true, "citext": true, "json": true, "jsonb": true}

// fingerprints are of what the stream does not tell when it changes: the table itself and its key, and its columns with their types, down to
// the attributes of composite ones.
func fingerprints(ctx context.Context, q catalog.Querier, types *catalog.Types, t catalog.Table) (identity, shape string, err error) {
	var oids []uint32
	for _, c := range t.Columns {
		oids = append(oids, c.Type)
	}
	if err := types.Load(ctx, q, oids); err != nil {
		return "", "", err
	}
	of := xxhash.New()
	for _, c := range t.Columns {
		if !c.Generated {
			fmt.Fprintf(of, "%q %d %d ", c.Name, c.Type, c.Modifier)
			describe(of, types.Get(c.Type))
		}
	}
	if t.Where != "" { // other rows are other keys
		fmt.Fprintf(of, "where %q", t.Where)
	}
	key := xxhash.New()
	fmt.Fprintf(key, "%d %q", t.OID, t.PrimaryKey)
	return fmt.Sprintf("%016x", key.Sum64()), fmt.Sprintf("%016x", of.Sum64()), nil
}

// describe writes what decides how a type is rendered.
func describe(w io.Writer, t *render.Type) {
	fmt.Fprintf(w, "%d %d(", t.OID, t.Kind)
	if t.Elem != nil {
		describe(w, t.Elem)
	}
	for _, f := range t.Fields {
		fmt.Fprintf(w, "%q ", f.Name)
		describe(w, f.Type)
	}
	fmt.Fprint(w, ")")
}

// errAltered ends a life whose tables are no longer what they were when it began. The next one looks at them afresh, and has the rows read
// again that are in another form now.
var errAltered = errors.New("a table was altered")

// unaltered compares all tables with what they were when the life began.
func (l *life) unaltered(ctx context.Context, q catalog.Querier) error {
	found, _, err := catalog.Tables(ctx, q, l.patterns)
	if err != nil {
		return err
	}
	if err := l.covered(found); err != nil {
		return err
	}
	return compare(ctx, q, l.tables.shapes, found)
}

// compare wants the tables of the catalog to be what they were.
func compare(ctx context.Context, q catalog.Querier, before []exchange.TableShape, found []catalog.Table) error {
	now, err := shapes(ctx, q, found)
	if err != nil {
		return err
	}
	is := map[change.Table]exchange.TableShape{}
	for _, s := range now {
		is[s.Table()] = s
	}
	for _, was := range before {
		s, there := is[was.Table()]
		switch {
		case !there:
			return fmt.Errorf("%w: %s has been dropped or renamed, or is no table to be mirrored any more", errAltered, was.Table())
		case s.Identity != was.Identity:
			return fmt.Errorf("%w: %s is another table now, or has another primary key", errAltered, was.Table())
		case s.Shape != was.Shape:
			return fmt.Errorf("%w: %s has other columns or types now", errAltered, was.Table())
		case len(s.OldColumns) != len(was.OldColumns):
			return fmt.Errorf("%w: %s has another replica identity now", errAltered, was.Table())
		}
	}
	return nil
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
	list := l.tables.columns[t.Table]
	for _, c := range t.Columns {
		if !c.Generated && (len(list) == 0 || slices.Contains(list, c.Name)) {
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
	layout.From, layout.Where = from, l.tables.byName[t].Where
	layout.Fixed = !slices.ContainsFunc(oids, func(oid uint32) bool { return render.Builtin(oid) == nil })
	return layout, nil
}

// layout tells how a relation of the stream is written. The stream shows a table as it was when the change was made; the catalog as it
// is now, so the key's columns are taken from the catalog only as far as the relation agrees.
func (l *life) layout(ctx context.Context, r *pgoutput.Relation) (*row.Layout, error) {
	table := r.Table
	if _, ours := l.tables.byName[table]; !ours {
		if table, ours = l.tables.byOID[r.ID]; !ours {
			return nil, nil
		}
		// Renamed: before this life, and the stream still tells of then, or since.
	}
	now, _, err := catalog.Tables(ctx, l.catalog, []catalog.Pattern{{Schema: table.Schema, Name: table.Name, Where: l.tables.byName[table].Where}})
	if err != nil {
		return nil, err
	}
	before := slices.DeleteFunc(slices.Clone(l.tables.shapes), func(s exchange.TableShape) bool { return s.Table() != table })
	if err := compare(ctx, l.catalog, before, now); err != nil {
		return nil, err
	}
	if l.tables.byName[table].OID != r.ID {
		return nil, nil // of another table, which had the name before
	}
	from := table.SQL()
	var key []string
	if len(now) == 1 {
		key, from = now[0].PrimaryKey, now[0].From()
	}
	names, oids := make([]string, len(r.Columns)), make([]uint32, len(r.Columns))
	for i, c := range r.Columns {
		names[i], oids[i] = c.Name, c.Type
	}
	then, err := primaryKey(r, key)
	if err != nil {
		return nil, err
	}
	if len(key) > 0 && !sameSet(then, key) {
		return nil, nil // keys were made of other columns then; they have been cleared, and the rows are read again
	}
	layout, err := l.newLayout(ctx, table, names, oids, then, from)
	if err == nil && len(now) == 1 {
		layout.Partial = l.partial(now[0], r)
	}
	return layout, err
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

// joined notes which tables must not be read before some transactions are over. What was found by a life before holds too, since it may have been just
// after the change; but not on another timeline, which has its own numbers.
func (l *life) joined(ctx context.Context) error {
	since, err := replication.Joined(ctx, l.catalog, l.config.Source.Publication, l.survey.Version, l.tables.found, l.slot.changed)
	if l.slot.since == nil || l.slot.sinceOn != l.stream.Timeline {
		l.slot.since, l.slot.sinceOn = map[change.Table]uint64{}, l.stream.Timeline
	}
	for table, below := range since {
		l.slot.since[table] = max(below, l.slot.since[table])
	}
	return err
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
			state = cleared(state)
		}
		if state.State.Active() && state.State != change.BackfillClear {
			all = append(all, backfill.Task{Layout: layout, Progress: state})
		}
	}
	for _, s := range []change.BackfillState{change.BackfillPending, change.BackfillRunning, change.BackfillSweeping, change.BackfillDone, change.BackfillCancelled, change.BackfillOff, change.BackfillClear} {
		l.metrics.BackfillTables.WithLabelValues(string(s)).Set(float64(count[s]))
	}
	return all, nil
}

// cleared is how a table goes on whose keys were removed.
func cleared(was change.Backfill) change.Backfill {
	return change.Backfill{State: change.BackfillPending, Cause: was.Cause}
}
