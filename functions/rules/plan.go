package rules

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"freshet/shared/change"
	"freshet/shared/exchange"
	"freshet/shared/problem"
)

// Unplannable are tables whose keys the rules cannot make, or cannot keep apart.
type Unplannable struct{ Cause *problem.Error }

func (u *Unplannable) Error() string { return u.Cause.Error() }

// Unwrap gives the finding for people.
func (u *Unplannable) Unwrap() error { return u.Cause }

// Hash identifies the rules, as exchange.Plan.Rules does.
func (r *Rules) Hash() string { return r.hash }

// Plan is what the poller may know of these tables. It refuses what cannot work, all findings in one.
func (r *Rules) Plan(tables []exchange.TableShape) (exchange.Plan, error) {
	plan, found := r.Examine(tables)
	var wrong problem.List
	for _, p := range found {
		if p.Warning {
			plan.Warnings = append(plan.Warnings, p.Details(0, ""))
		} else {
			wrong = append(wrong, p)
		}
	}
	if len(wrong) > 0 {
		return plan, &Unplannable{joined(wrong)}
	}
	return plan, nil
}

// joined makes one finding of several.
func joined(all problem.List) *problem.Error {
	if len(all) == 1 {
		return all[0]
	}
	one := &problem.Error{What: fmt.Sprintf("the rules do not fit these tables in %d ways", len(all))}
	var why, fix []string
	for _, p := range all {
		why = append(why, p.What+": "+p.Why)
		fix = append(fix, p.Fix)
	}
	one.Why, one.Fix = strings.Join(why, "; "), strings.Join(slices.Compact(fix), "; ")
	return one
}

// Examine makes the plan as far as it can be made, and reports all that is wrong and, as warnings, all that may go wrong.
func (r *Rules) Examine(tables []exchange.TableShape) (exchange.Plan, problem.List) {
	plan := exchange.Plan{Rules: r.hash, Tables: make(map[string]exchange.TablePlan, len(tables))}
	var found problem.List
	var keys []named
	for _, shape := range tables {
		if _, twice := plan.Tables[shape.Table().String()]; twice {
			continue
		}
		t, more := r.compileTable(shape.Table(), shape.PrimaryKey)
		found = append(found, more...)
		if len(more) > 0 {
			continue
		}
		of := t.plan(shape)
		if r.byCode {
			of.UsedColumns = nil
			of.Incomparable = cmp.Or(of.Incomparable, "values are made by code, which may look at more than the row")
		}
		plan.Tables[t.table.String()] = of
		found = append(found, t.doubts(shape)...)
		for _, rule := range t.rules {
			keys = append(keys, named{rule.key, rule.place})
		}
	}
	if len(tables) > 0 {
		found = append(found, r.idle(tables)...)
	}
	return plan, distinct(append(found, overlaps(keys)...))
}

// plan is what the poller may know of one table.
func (t *tableRules) plan(shape exchange.TableShape) exchange.TablePlan {
	p := exchange.TablePlan{KeyPrefix: t.rules[0].key.prefix()}
	keys, used, all, reversible := map[string]bool{}, map[string]bool{}, false, false
	var hashes []string
	for _, rule := range t.rules {
		hashes = append(hashes, rule.hash)
		p.Incomparable = cmp.Or(p.Incomparable, rule.incomparable())
		why := rule.rule.key.irreversible(named{rule.key, rule.place}.setting())
		p.PartlyIrreversible, reversible = cmp.Or(p.PartlyIrreversible, why), reversible || why == ""
		p.KeyPrefixes = append(p.KeyPrefixes, rule.key.prefix())
		p.OneLane = p.OneLane || !rule.key.whole
		p.NeedsOld = p.NeedsOld || len(rule.key.others) > 0
		for _, column := range rule.key.columns {
			keys[column], used[column] = true, true
		}
		reads := rule.reads()
		all = all || reads.all
		for _, column := range reads.names {
			used[column] = true
		}
	}
	if !reversible {
		p.Irreversible, p.PartlyIrreversible = p.PartlyIrreversible, ""
	}
	p.Rules = sum(hashes)
	p.KeyColumns = inOrder(keys, shape.Columns)
	if !all {
		p.UsedColumns = inOrder(used, shape.Columns)
	}
	return p
}

// reads are the columns that value, filter and expiry read.
func (r *rule) reads() (all columns) {
	if r.write != writeDelete {
		all.add(r.value.reads())
		if r.expiry.path.text != "" {
			all.add(r.expiry.path.reads)
		}
	}
	for _, c := range r.filter {
		all.add(c.path.reads)
	}
	return all
}

// named is a table's key with the place of its rule.
type named struct {
	*tableKey
	place string
}

func (n named) String() string {
	if n.place == Default {
		return n.table.String()
	}
	return n.table.String() + " by " + n.place
}

// setting is where the key stands.
func (n named) setting() string {
	if n.place == Default {
		return "FN_KEY"
	}
	return n.place + ".key"
}

// overlaps reports the pairs of tables or rules of which one prefix begins with the other. Sorted, such prefixes are neighbours, or
// have only their like between them.
func overlaps(keys []named) problem.List {
	slices.SortFunc(keys, func(a, b named) int {
		return cmp.Or(cmp.Compare(a.prefix(), b.prefix()), cmp.Compare(a.String(), b.String()))
	})
	var tables, rules []string
	for i, short := range keys {
		for _, long := range keys[i+1:] {
			if !strings.HasPrefix(long.prefix(), short.prefix()) {
				break
			}
			clash := fmt.Sprintf("keys of %s begin with %q and keys of %s with %q", short, short.prefix(), long, long.prefix())
			if short.table == long.table {
				rules = append(rules, clash)
			} else {
				tables = append(tables, clash)
			}
		}
	}
	var found problem.List
	if len(tables) > 0 {
		found = append(found, &problem.Error{
			What: "the keys of two tables cannot be told apart", Why: strings.Join(tables, "; "),
			Fix: "put {table_schema} and {table_name} into FN_KEY, with a mark such as : behind them",
		})
	}
	if len(rules) > 0 {
		found = append(found, &problem.Error{
			What: "the keys of two rules cannot be told apart", Why: strings.Join(rules, "; "),
			Fix: "begin each key with its own text and a mark behind it, such as product:id: and product:sku:",
		})
	}
	return found
}

// idle reports entries that are for none of the tables.
func (r *Rules) idle(tables []exchange.TableShape) (found problem.List) {
	var names []string
	for _, t := range tables {
		names = append(names, t.Table().String())
	}
	for _, entry := range r.entries {
		if slices.ContainsFunc(tables, func(t exchange.TableShape) bool { return entry.table.matches(t.Table()) }) {
			continue
		}
		p := &problem.Error{
			What: fmt.Sprintf("%s is for table %s, which is not mirrored", entry.place, entry.table.text), Why: "the tables are " + strings.Join(names, ", "),
			Fix: "add the table to POLLER_TABLES, or remove the rule", Warning: true,
		}
		if one, yes := entry.table.one(); yes {
			if near := problem.Nearest(one.String(), slices.Values(names)); near != "" {
				p.Fix = "did you mean " + near + "?"
			}
		}
		found = append(found, p)
	}
	return found
}

// doubts are what is wrong, or may go wrong, with one table.
func (t *tableRules) doubts(shape exchange.TableShape) (found problem.List) {
	for _, rule := range t.rules {
		if len(shape.Columns) > 0 {
			found = append(found, rule.strangers(shape)...)
		}
		if p := rule.untold(shape); p != nil {
			found = append(found, p)
		}
		if p := rule.key.ambiguous(shape.TextColumns); p != nil {
			found = append(found, p)
		}
	}
	return found
}

// untold reports columns of the key that the table's replica identity does not tell.
func (t tableRule) untold(shape exchange.TableShape) *problem.Error {
	var lacking []string
	for _, column := range t.key.others {
		if !slices.Contains(shape.OldColumns, column) {
			lacking = append(lacking, fmt.Sprintf("%q", column))
		}
	}
	if len(lacking) == 0 {
		return nil
	}
	return &problem.Error{
		What: fmt.Sprintf("the keys of %s use %s, which Postgres does not tell of old rows", named{t.key, t.place}, strings.Join(lacking, ", ")),
		Why:  "when such a row is deleted, or such a column changes, its old key could not be found and would stay for ever",
		Fix:  fmt.Sprintf("ALTER TABLE %s REPLICA IDENTITY FULL; or make the key of the primary key alone", t.key.table.SQL()),
	}
}

// strangers reports columns that the table does not have. A key, a filter and a value of one path come to nothing without them; the other
// values are only poorer.
func (t tableRule) strangers(shape exchange.TableShape) (found problem.List) {
	look := func(what string, names []string, grave bool, instead string) {
		for _, column := range names {
			if slices.Contains(shape.Columns, column) {
				continue
			}
			p := &problem.Error{
				What: fmt.Sprintf("%s of %s uses the column %q, which the table does not have", what, named{t.key, t.place}, column), Why: instead,
				Fix: "the columns are " + strings.Join(shape.Columns, ", "), Warning: !grave,
			}
			if near := problem.Nearest(column, slices.Values(shape.Columns)); near != "" {
				p.Fix = "did you mean " + near + "?"
			}
			found = append(found, p)
		}
	}
	look("the key", t.key.columns, true, "no row would have a key")
	for _, c := range t.filter {
		look("the filter", c.path.reads.names, true, "what is missing compares as null, so no row, or every row, would be kept")
	}
	if t.write == writeDelete {
		return found
	}
	if v := t.value; v.shape == nil && v.path.column != "" {
		look("the value", v.path.reads.names, true, "no row would have a value")
	} else {
		look("the value", v.reads().names, false, "it is null in each value of a map, and left out by gjson")
	}
	look("the expiry", t.expiry.path.reads.names, false, "keys stay for ever")
	return found
}

// ambiguous warns of keys that two rows can share.
func (k *tableKey) ambiguous(texts []string) *problem.Error {
	var free []string
	for i, h := range k.holes {
		if i > 0 && k.text[i] == "" {
			return &problem.Error{
				What: fmt.Sprintf("two rows of %s can have the same key", k.table), Why: "nothing stands between two parts of its key, so that 1 and 23 make the same as 12 and 3",
				Fix: "put a mark such as : between them", Warning: true,
			}
		}
		if column := k.nameOf(h); slices.Contains(texts, column) && !slices.Contains(free, column) {
			free = append(free, column)
		}
	}
	if len(free) < 2 {
		return nil
	}
	return &problem.Error{
		What: fmt.Sprintf("two rows of %s can have the same key", k.table),
		Why:  fmt.Sprintf("the columns %s of its key hold any text, also the mark that stands between them", strings.Join(free, ", ")),
		Fix:  "put a mark between them that the texts never hold; for a composite primary key write its columns, as in {record.a}|{record.b}", Warning: true,
	}
}

func (k *tableKey) nameOf(h hole) string {
	if h.column >= 0 {
		return k.columns[h.column]
	}
	return h.path.reads.names[0]
}

// Doubts are warnings that need no table: of templates with nothing between two parts.
func (r *Rules) Doubts() (found problem.List) {
	for _, rule := range append([]*rule{r.fallback}, r.entries...) {
		k, wrong := rule.key.compile(change.Table{Schema: "public", Name: "t"}, []string{"id"})
		if wrong != nil {
			continue
		}
		if p := k.ambiguous(nil); p != nil {
			p.What = fmt.Sprintf("two rows can have the same key by the rule %s", rule.place)
			found = append(found, p)
		}
	}
	return found
}
