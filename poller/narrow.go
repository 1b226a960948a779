package poller

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"freshet/poller/catalog"
	"freshet/poller/pgoutput"
	"freshet/poller/replication"
	"freshet/shared/exchange"
	"freshet/shared/problem"
)

// wanted are the columns to be published of a table, in its order: those that the rules use, and those that tell its rows apart. None means
// all of them.
func wanted(t catalog.Table, plan exchange.TablePlan) (columns []string) {
	// With a full identity Postgres takes no list: it would not cover the identity, and the application's own UPDATE would fail.
	if len(plan.UsedColumns) == 0 || t.Identity == 'f' {
		return nil
	}
	need := slices.Concat(plan.UsedColumns, plan.KeyColumns, t.PrimaryKey, t.IdentityColumns)
	all := published(t)
	for _, name := range all {
		if slices.Contains(need, name) {
			columns = append(columns, name)
		}
	}
	if len(columns) == len(all) {
		return nil
	}
	return columns
}

// narrow makes the publication list what the plan needs, no more and no less, before the first row of the session is read. What is in the
// log already stays as it was: of rows that lack columns there, see row.Layout.Partial.
func (l *life) narrow(ctx context.Context) error {
	source := l.config.Source.Config
	lists, err := replication.ReadLists(ctx, l.catalog, source.Publication)
	if err != nil {
		return err
	}
	var changes []replication.Relist
	var stuck problem.List
	for _, t := range l.tables.found {
		var want []string
		if source.Narrows() {
			want = wanted(t, l.tables.plan.Tables[t.Table.String()])
		}
		have := lists.Columns[t.Table]
		switch {
		case slices.Equal(want, have):
		case lists.May(t):
			changes = append(changes, replication.Relist{Table: t, Columns: want})
			have = want
		case len(have) > 0 && (len(want) == 0 || !containsAll(have, want)):
			stuck = append(stuck, tooNarrow(source.Publication, t))
		}
		l.tables.columns[t.Table] = have
	}
	if err := stuck.OrNil(); err != nil {
		return err
	}
	l.tables.narrowed = lists.Narrowed || len(changes) > 0
	if err := replication.SetLists(ctx, l.catalog, source.Publication, changes); err != nil {
		return err
	}
	if len(changes) > 0 {
		l.log.Info("the publication lists the columns that the rules use", "publication", source.Publication, "tables", len(changes))
	}
	return nil
}

func tooNarrow(publication string, t catalog.Table) *problem.Error {
	return &problem.Error{
		What: fmt.Sprintf("publication %q lacks columns of table %s that the function's rules use", publication, t.Table),
		Why:  "the poller does not own the publication any more", Fix: "let the owner publish all columns of the table",
	}
}

// identities looks whether the stream tells the old keys of rows that change. A column of a key that is not in the primary key is told of only by
// a full identity.
func (l *life) identities() error {
	var found problem.List
	for _, t := range l.tables.found {
		key := l.tables.plan.Tables[t.Table.String()].KeyColumns
		if t.Identity == 'f' || containsAll(t.PrimaryKey, key) {
			continue
		}
		found = append(found, &problem.Error{
			What: fmt.Sprintf("the replica identity of table %s does not tell the keys that its rows had", t.Table),
			Why:  fmt.Sprintf("the function's rules make keys of %s, and of a row that was changed or deleted only its primary key is known", strings.Join(key, ", ")),
			Fix:  fmt.Sprintf("ALTER TABLE %s REPLICA IDENTITY FULL; or make the keys of the primary key", t.Table.SQL()),
		})
	}
	return found.OrNil()
}

// partial says whether a relation of the stream lacks columns that are read now. Where the publication never had lists, columns
// that are missing were added later, and the rows are read again for that.
func (l *life) partial(t catalog.Table, r *pgoutput.Relation) bool {
	if !l.tables.narrowed {
		return false
	}
	need := l.tables.columns[t.Table]
	if len(need) == 0 {
		need = published(t)
	}
	return slices.ContainsFunc(need, func(name string) bool {
		return !slices.ContainsFunc(r.Columns, func(c pgoutput.Column) bool { return c.Name == name })
	})
}

// covered wants the lists to have the columns of each table's identity: when that is altered, the application's own UPDATE fails until the
// next life has published all columns.
func (l *life) covered(found []catalog.Table) error {
	for _, t := range found {
		if list := l.tables.columns[t.Table]; len(list) > 0 && !containsAll(list, t.IdentityColumns) {
			return fmt.Errorf("%w: %s has another replica identity now", errAltered, t.Table)
		}
	}
	return nil
}

func containsAll(list, wanted []string) bool {
	return !slices.ContainsFunc(wanted, func(w string) bool { return !slices.Contains(list, w) })
}
