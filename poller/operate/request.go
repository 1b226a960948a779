package operate

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"freshet/shared/change"
)

// MostExamples is how many differing keys of each kind and table may be asked for.
const MostExamples = 1000

// read brings the request into the form that an Operator gets, or says what is wrong with it.
func (ask *BackfillRequest) read() (err error) {
	if ask.Tables, err = tables(ask.Tables); err != nil {
		return err
	}
	conditional := ask.Where != ""
	ask.Where = strings.TrimSpace(ask.Where)
	switch {
	case ask.All && len(ask.Tables) > 0:
		return bad("tables are named, and all of them are wanted", "", `name tables in "tables", or set "all"`)
	case !ask.All && len(ask.Tables) == 0:
		return bad("no table is named", "", `name tables in "tables", or set "all"`)
	case conditional && ask.Where == "":
		return bad("the condition is empty", `"where" holds blanks alone`, "leave it out to have all rows")
	case conditional && len(ask.Tables) != 1:
		return bad("a condition needs one table", `"where" is over the columns of one table`, "name one, and ask again for the next")
	}
	return nil
}

// read does the same here.
func (ask *VerifyRequest) read() (err error) {
	if ask.Tables, err = tables(ask.Tables); err != nil {
		return err
	}
	switch {
	case ask.Sample < 0 || ask.Sample > 1:
		return bad("the sample is no share", fmt.Sprintf(`"sample" is %v`, ask.Sample), "use a number above 0 and at most 1, such as 0.01; leave it out to compare all")
	case ask.Examples < 0 || ask.Examples > MostExamples:
		return bad("so many examples cannot be kept", fmt.Sprintf(`"examples" is %d`, ask.Examples), fmt.Sprintf("use 1 to %d", MostExamples))
	}
	return nil
}

// tables spells names as change.Table.String() does, each once.
func tables(names []string) (all []string, err error) {
	for _, name := range names {
		name, err := table(name)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return all, nil
}

func table(name string) (string, error) {
	t, err := change.ParseTable(name)
	if err != nil {
		return "", bad("a table's name cannot be read", err.Error(), "write it as in POLLER_TABLES: products or public.orders")
	}
	return t.String(), nil
}

func bad(what, why, fix string) error { return Refuse(http.StatusBadRequest, what, why, fix) }
