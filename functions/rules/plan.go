package rules

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

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

// Plan is what the poller may know of these tables. It refuses tables whose keys another table's truncate would remove.
func (r *Rules) Plan(tables []exchange.TableShape) (exchange.Plan, error) {
	plan := exchange.Plan{Rules: r.hash, Tables: make(map[string]exchange.TablePlan, len(tables))}
	keys := make([]*tableKey, 0, len(tables))
	for _, shape := range tables {
		k, wrong := r.key.compile(shape.Table(), shape.PrimaryKey)
		if wrong != nil {
			return plan, &Unplannable{wrong}
		}
		if _, twice := plan.Tables[k.table.String()]; twice {
			continue
		}
		plan.Tables[k.table.String()] = exchange.TablePlan{
			KeyPrefix: k.prefix(), Incomparable: r.value.incomparable("FN_VALUE"), Irreversible: r.key.irreversible("FN_KEY"),
		}
		keys = append(keys, k)
	}
	if clashes := overlaps(keys); len(clashes) > 0 {
		return plan, &Unplannable{&problem.Error{
			What: "the keys of two tables cannot be told apart",
			Why:  strings.Join(clashes, "; "),
			Fix:  "put {table_schema} and {table_name} into FN_KEY, with a mark such as : behind them",
		}}
	}
	return plan, nil
}

// overlaps describes each pair of tables of which one prefix begins with the other. Sorted, such prefixes are neighbours, or
// have only their like between them.
func overlaps(keys []*tableKey) (clashes []string) {
	slices.SortFunc(keys, func(a, b *tableKey) int {
		return cmp.Or(cmp.Compare(a.prefix(), b.prefix()), cmp.Compare(a.table.String(), b.table.String()))
	})
	for i, short := range keys {
		for _, long := range keys[i+1:] {
			if !strings.HasPrefix(long.prefix(), short.prefix()) {
				break
			}
			clashes = append(clashes, fmt.Sprintf("keys of %s begin with %q and keys of %s with %q", short.table, short.prefix(), long.table, long.prefix()))
		}
	}
	return clashes
}

// hash identifies the rule by its text: another text may make other keys or values.
func (r Rule) hash() string {
	r.Actions = slices.Compact(slices.Sorted(slices.Values(r.Actions)))
	text, err := json.Marshal([]Rule{r})
	if err != nil {
		panic(err) // strings and numbers
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}
