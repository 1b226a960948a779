package poller

import (
	"strings"
	"testing"

	"freshet/poller/catalog"
	"freshet/shared/exchange"
)

func TestWanted(t *testing.T) {
	columns := func(names string) (all []catalog.Column) {
		for _, name := range strings.Fields(names) {
			all = append(all, catalog.Column{Name: strings.TrimSuffix(name, "!"), Generated: strings.HasSuffix(name, "!")})
		}
		return all
	}
	for _, c := range []struct {
		name, used, key, primary, identity, want string
		kind                                     byte
	}{
		{name: "all", kind: 'd', primary: "id", identity: "id"},
		{name: "some, in the table's order", kind: 'd', used: "price name", primary: "id", identity: "id", want: "id name price"},
		{name: "a composite key", kind: 'd', used: "price", primary: "sku id", identity: "sku id", want: "id price sku"},
		{name: "an index as identity", kind: 'i', used: "price", primary: "id", identity: "id name", want: "id name price"},
		{name: "a full identity", kind: 'f', used: "price", primary: "id", identity: "id name price sku"},
		{name: "keys of other columns", kind: 'd', used: "price", key: "sku", primary: "id", identity: "id", want: "id price sku"},
		{name: "what does not exist", kind: 'd', used: "prize", primary: "id", identity: "id", want: "id"},
		{name: "a generated one cannot be listed", kind: 'd', used: "name made", primary: "id", identity: "id", want: "id name"},
		{name: "every one", kind: 'd', used: "name price sku", primary: "id", identity: "id"},
	} {
		table := catalog.Table{Columns: columns("id name price made! sku"), PrimaryKey: strings.Fields(c.primary), Identity: c.kind, IdentityColumns: strings.Fields(c.identity)}
		got := wanted(table, exchange.TablePlan{UsedColumns: strings.Fields(c.used), KeyColumns: strings.Fields(c.key)})
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: got %v, want %s", c.name, got, c.want)
		}
	}
}
