package rules_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"freshet/functions/effect"
	"freshet/functions/rules"
	"freshet/shared/change"
	"freshet/shared/exchange"
)

// defaults are the rules of an environment that sets nothing.
func defaults() rules.Config {
	return rules.Config{Key: "sequin:{table_name}:{primary_key}", Value: "record", Actions: []string{"insert", "update", "delete"}}
}

func compile(t testing.TB, c rules.Config) *rules.Rules {
	t.Helper()
	r, err := rules.Compile(c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func row(action change.Action, table, record string, primaryKey ...string) change.Message {
	return change.Message{Action: action, Record: record, Metadata: change.Metadata{Schema: "public", Table: table, PrimaryKey: primaryKey}}
}

// render spells the effect of one message: "SET key value", "DEL key", "CLEAR prefix", "filtered", or the error.
func render(r *rules.Rules, m change.Message) string {
	var b effect.Batch
	kept, err := (&rules.Renderer{Rules: r}).Render(&m, &b)
	switch {
	case err != nil:
		return err.Error()
	case !kept:
		return "filtered"
	case len(b.Clears) > 0:
		return "CLEAR " + b.Clears[0]
	case b.Writes[0].Delete:
		return "DEL " + b.Writes[0].Key
	case b.Writes[0].ExpireMS > 0:
		return fmt.Sprintf("SET %s %s PX %d", b.Writes[0].Key, b.Writes[0].Value, b.Writes[0].ExpireMS)
	}
	return "SET " + b.Writes[0].Key + " " + b.Writes[0].Value
}

func TestKey(t *testing.T) {
	for _, c := range []struct{ name, template, record, columns, want string }{
		{"a number", "", `{"id":42}`, "id", "sequin:t:42"},
		{"a huge number keeps its digits", "", `{"id":900719925474099312345678901234567890}`, "id", "sequin:t:900719925474099312345678901234567890"},
		{"a negative number", "", `{"id":-7}`, "id", "sequin:t:-7"},
		{"a truth", "", `{"id":true}`, "id", "sequin:t:true"},
		{"a string", "", `{"id":"a b"}`, "id", "sequin:t:a b"},
		{"a string that looks like null", "", `{"id":"null"}`, "id", "sequin:t:null"},
		{"an escaped string", "", `{"id":"a\"\\\u00e9\n"}`, "id", "sequin:t:a\"\\é\n"},
		{"an emoji", "", `{"id":"🥂"}`, "id", "sequin:t:🥂"},
		{"a time", "", `{"id":"2026-01-01T00:00:00+00:00"}`, "id", "sequin:t:2026-01-01T00:00:00+00:00"},
		{"an array", "", `{"id":[1, 2]}`, "id", "sequin:t:[1, 2]"},
		{"composite, in the order of the key", "", `{"b":2,"x":"{","a":"1"}`, "a b", "sequin:t:1-2"},
		{"many columns", "", `{"a":1,"b":2,"c":3,"d":4,"e":5}`, "e d c b a", "sequin:t:5-4-3-2-1"},
		{"spaces in the record", "", " {\n \"x\" : {\"id\":1} , \"id\" :\t42 }", "id", "sequin:t:42"},
		{"nested look-alikes", "", `{"x":{"id":1},"y":["id",2],"z":"\"id\":3","id":42}`, "id", "sequin:t:42"},
		{"a name that is a path", "", `{"a":{"b":1},"a.b":2}`, "a.b", "sequin:t:2"},
		{"a name of path marks", "", `{"#":1,"*":2,"@this":3}`, "@this", "sequin:t:3"},
		{"an escaped name", "", `{"x":1,"a\"b":2}`, `a"b`, "sequin:t:2"},
		{"all placeholders, twice", "{table_schema}.{table_name}/{primary_key}/{primary_key}!", `{"id":1}`, "id", "public.t/1/1!"},

		{"null", "", `{"id":null}`, "id", `a row of public.t has no key: its column "id" is null (fix: every part of a key needs a value: correct the row, or use other columns in FN_KEY)`},
		{"empty", "", `{"a":1,"b":""}`, "a b", `a row of public.t has no key: its column "b" is empty (fix: every part of a key needs a value: correct the row, or use other columns in FN_KEY)`},
		{"missing", "", `{"a":1}`, "id", `a row of public.t has no key: its column "id" is missing in the record (fix: every part of a key needs a value: correct the row, or use other columns in FN_KEY)`},
		{"no primary key", "", `{"a":1}`, "", `rows of public.t have no key: metadata.primary_key is empty (fix: give the table a primary key, or in a hand-written message name its columns in metadata.primary_key)`},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := defaults()
			if c.template != "" {
				config.Key = c.template
			}
			got := render(compile(t, config), row(change.Delete, "t", c.record, strings.Fields(c.columns)...))
			if want := strings.Replace("DEL "+c.want, "DEL a row", "a row", 1); got != want && got != c.want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

func TestValue(t *testing.T) {
	const record = `{"id":42,"name":"Mug \"☕\" \u00e9","price":9.90, "inventory_count":7,"big":1` + "0000000000000000000000000000000000000000000000000000000001" + `,"none":null,"tags":["a", {"b":1.50}],"a.b":"dot"}`
	for _, c := range []struct{ path, want string }{
		{"record", record},
		{"record.name", `Mug "☕" é`},
		{"record.price", "9.90"},
		{"record.none", "null"},
		{"record.tags", `["a", {"b":1.50}]`},
		{"record.tags.1.b", "1.50"},
		{`record.a\.b`, "dot"},
		{`record.{name,price,"stock":inventory_count}`, `{"name":"Mug \"☕\" \u00e9","price":9.90,"stock":7}`},
		{"record.{big}", `{"big":10000000000000000000000000000000000000000000000000000000001}`},
		{`{"row":record.id,"of":metadata.table_name,"was":changes.price,"at":metadata.position}`, `{"row":42,"of":"t","was":8.50,"at":"0000000000000000-00000000"}`},
		{"metadata.primary_key.0", "id"},
		{"changes.price", "8.50"},
		{"action", "update"},
		{"record|price", "9.90"},
		{`record.tags.@this.0`, "a"},
		{`!"fixed"`, "fixed"},
	} {
		t.Run(c.path, func(t *testing.T) {
			config := defaults()
			config.Value = c.path
			m := row(change.Update, "t", record, "id")
			m.Changes = `{"price":8.50}`
			if got, want := render(compile(t, config), m), "SET sequin:t:42 "+c.want; got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

func TestValue_MissingIsPoison(t *testing.T) {
	config := defaults()
	config.Value = "record.colour"
	r := compile(t, config)
	var b effect.Batch
	m := row(change.Insert, "t", `{"id":1}`, "id")
	_, err := (&rules.Renderer{Rules: r}).Render(&m, &b)
	var poison *rules.Poison
	if !errors.As(err, &poison) || poison.Table != (change.Table{Schema: "public", Name: "t"}) {
		t.Fatalf("got %v, want poison of public.t", err)
	}
	if got := render(r, row(change.Delete, "t", `{"id":1}`, "id")); got != "DEL sequin:t:1" {
		t.Errorf("a delete needs no value: got %s", got)
	}
}

func TestActions(t *testing.T) {
	all := []change.Action{change.Insert, change.Update, change.Read, change.Delete, change.Truncate}
	for _, c := range []struct{ actions, want string }{
		{"insert, update,delete", "SET SET SET DEL CLEAR"},
		{"insert", "SET filtered SET filtered filtered"},
		{"update", "filtered SET SET filtered filtered"},
		{"delete", "filtered filtered filtered DEL CLEAR"},
	} {
		config := defaults()
		config.Actions = strings.Split(c.actions, ",")
		r := compile(t, config)
		var got []string
		for _, action := range all {
			word, _, _ := strings.Cut(render(r, row(action, "t", `{"id":1}`, "id")), " ")
			got = append(got, word)
		}
		if got := strings.Join(got, " "); got != c.want {
			t.Errorf("%s: got %s, want %s", c.actions, got, c.want)
		}
	}
}

func TestExpiry(t *testing.T) {
	config := defaults()
	config.ExpireMS = "86400000"
	if got := render(compile(t, config), row(change.Insert, "t", `{"id":1}`, "id")); got != `SET sequin:t:1 {"id":1} PX 86400000` {
		t.Error(got)
	}
}

func TestConfig_SaysWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*rules.Config)
		want   string
	}{
		{"unknown placeholder", func(c *rules.Config) { c.Key = "p:{tablename}:{primary_key}" }, "did you mean {table_name}?"},
		{"a column without its root", func(c *rules.Config) { c.Key = "p:{sku}" }, "did you mean {record.sku}?"},
		{"a key of the message", func(c *rules.Config) { c.Key = "p:{metadata.transaction_id}" }, "is not a placeholder"},
		{"a key of all columns", func(c *rules.Config) { c.Key = "p:{record.*}" }, "which column it reads"},
		{"a key of an object", func(c *rules.Config) { c.Key = "p:{record.{a,b}}" }, "no single value"},
		{"a key of an unknown modifier", func(c *rules.Config) { c.Key = "p:{record.sku.@lower}" }, "@lower is not a modifier"},
		{"a column before any text", func(c *rules.Config) { c.Key = "{record.sku}:x" }, "nothing comes before"},
		{"no primary key", func(c *rules.Config) { c.Key = "p:{table_name}" }, "share one key"},
		{"empty", func(c *rules.Config) { c.Key = "" }, "share one key"},
		{"no text of its own", func(c *rules.Config) { c.Key = "{primary_key}:x" }, "nothing comes before"},
		{"our own names", func(c *rules.Config) { c.Key = "freshet:{primary_key}" }, "own state"},
		{"not closed", func(c *rules.Config) { c.Key = "p:{primary_key" }, "without a }"},
		{"not opened", func(c *rules.Config) { c.Key = "p:primary_key}" }, "without a {"},
		{"no root", func(c *rules.Config) { c.Value = "price" }, "did you mean record.price?"},
		{"no path", func(c *rules.Config) { c.Value = " " }, "it is empty"},
		{"open brace", func(c *rules.Config) { c.Value = "record.{name" }, "{ is not closed"},
		{"stray bracket", func(c *rules.Config) { c.Value = "record.name]" }, "nothing opened"},
		{"crossed", func(c *rules.Config) { c.Value = "record.{name]" }, "where a { was opened"},
		{"open quote", func(c *rules.Config) { c.Value = `record.{"name:x}` }, "double quote"},
		{"unknown modifier", func(c *rules.Config) { c.Value = "record.@nonsense" }, "@nonsense is not a modifier"},
		{"zero expiry", func(c *rules.Config) { c.ExpireMS = "0" }, "remove the variable"},
		{"negative expiry", func(c *rules.Config) { c.ExpireMS = "-5" }, "cannot have expired"},
		{"no number", func(c *rules.Config) { c.ExpireMS = "1d" }, "not a whole number"},
		{"too long", func(c *rules.Config) { c.ExpireMS = "9223372036854775807" }, "hundred years"},
		{"misspelt root", func(c *rules.Config) { c.Value = "recrod.price" }, "did you mean record.price?"},
		{"a map that is not quite JSON", func(c *rules.Config) { c.Value = `{"name":"record.name",}` }, "not valid JSON"},
		{"an empty map", func(c *rules.Config) { c.Value = "{}" }, "would be the same"},
		{"a map of no path", func(c *rules.Config) { c.Value = `{"name":1}` }, `FN_VALUE["name"] is 1`},
		{"a map of a misspelt path", func(c *rules.Config) { c.Value = `{"a":"record.name","b":"price"}` }, `FN_VALUE["b"] is "price": a message has no member "price" (fix: did you mean record.price?`},
		{"a place within another", func(c *rules.Config) { c.Value = `{"a":"record.name","a.b":"record.x"}` }, `FN_VALUE["a"] has no place`},
		{"a place around another", func(c *rules.Config) { c.Value = `{"a.b":"record.name","a":"record.x"}` }, `FN_VALUE["a.b"] has no place`},
		{"a place twice", func(c *rules.Config) { c.Value = `{"a":"record.name","a":"record.x"}` }, `FN_VALUE["a"] has no place`},
		{"a list that is an object", func(c *rules.Config) { c.Value = `{"a.0":"record.name","a.b":"record.x"}` }, `FN_VALUE["a.b"] is no place`},
		{"a place of many", func(c *rules.Config) { c.Value = `{"a.*":"record.name"}` }, "is no place"},
		{"a long list", func(c *rules.Config) { c.Value = `{"a.99999999":"record.name"}` }, "that many nulls"},
		{"a place without a name", func(c *rules.Config) { c.Value = `{"":"record.name"}` }, "is no place"},
		{"a path of an expiry", func(c *rules.Config) { c.ExpireMS = "ttl" }, "did you mean record.ttl?"},
		{"jitter of nothing", func(c *rules.Config) { c.ExpireJitter = "10" }, "nothing to spread"},
		{"too much jitter", func(c *rules.Config) { c.ExpireMS, c.ExpireJitter = "5", "100" }, "0 to 99"},
		{"unknown write", func(c *rules.Config) { c.Write = "nx" }, "set, delete or xx"},
		{"a filter of no JSON", func(c *rules.Config) { c.Filter = "[{]" }, "line 1, column 3"},
		{"a filter of one", func(c *rules.Config) { c.Filter = `{"path":"record.a","op":"is_null"}` }, "FN_FILTER is not a list"},
		{"an unknown operator", func(c *rules.Config) { c.Filter = `[{"path":"record.a","op":"notnull"}]` }, `FN_FILTER[0].op is "notnull": it is no operator (fix: did you mean not_null?`},
		{"an operator of elsewhere", func(c *rules.Config) { c.Filter = `[{"path":"record.a","op":"==","value":1}]` }, "did you mean =?"},
		{"an unknown member", func(c *rules.Config) { c.Filter = `[{"path":"record.a","op":"=","value":1,"values":2}]` }, "FN_FILTER[0].values is not known: there is no such member (fix: did you mean value?"},
		{"a filter without path", func(c *rules.Config) { c.Filter = `[{"op":"is_null"}]` }, "FN_FILTER[0].path is missing"},
		{"a filter of a misspelt path", func(c *rules.Config) { c.Filter = `[{"path":"status","op":"is_null"}]` }, "did you mean record.status?"},
		{"a comparison with null", func(c *rules.Config) { c.Filter = `[{"path":"record.a","op":"=","value":null}]` }, "use is_null"},
		{"a comparison with nothing", func(c *rules.Config) { c.Filter = `[{"path":"record.a","op":"="}]` }, "FN_FILTER[0].value is missing"},
		{"null with a value", func(c *rules.Config) { c.Filter = `[{"path":"record.a","op":"is_null","value":true}]` }, "leave it out"},
		{"in without a list", func(c *rules.Config) { c.Filter = `[{"path":"record.a","op":"in","value":"x"}]` }, "needs a list"},
		{"in with null", func(c *rules.Config) { c.Filter = `[{"path":"record.a","op":"in","value":["x",null]}]` }, "FN_FILTER[0].value[1] is null"},
		{"= with a list", func(c *rules.Config) { c.Filter = `[{"path":"record.a","op":"=","value":["x"]}]` }, "for a list use in"},
		{"> with a truth", func(c *rules.Config) { c.Filter = `[{"path":"record.a","op":">","value":true}]` }, "needs a number or a string"},
		{"prefix of a number", func(c *rules.Config) { c.Filter = `[{"path":"record.a","op":"prefix","value":1}]` }, "into quotes"},
		{"rules of no JSON", func(c *rules.Config) { c.Rules = "[{\"table\":\"a\"},\n]" }, "FN_RULES is not valid JSON: line 2, column 1"},
		{"rules of one", func(c *rules.Config) { c.Rules = `{"table":"a"}` }, "FN_RULES is not a list"},
		{"rules of nobody", func(c *rules.Config) { c.Rules = `["a"]` }, `FN_RULES: rules[0] is "a"`},
		{"a file that is not there", func(c *rules.Config) { c.Rules = "@/nowhere/rules.json" }, "the file of FN_RULES cannot be read"},
		{"a rule without table", func(c *rules.Config) { c.Rules = `[{"key":"a:{primary_key}"}]` }, "FN_RULES: rules[0].table is missing"},
		{"a rule of a strange table", func(c *rules.Config) { c.Rules = `[{"table":"a.b.c"}]` }, "names no table"},
		{"a misspelt member", func(c *rules.Config) { c.Rules = `[{"table":"a","expires_ms":5}]` }, "FN_RULES: rules[0].expires_ms is not known: there is no such member (fix: did you mean expire_ms?"},
		{"a member twice", func(c *rules.Config) { c.Rules = `[{"table":"a","table":"b"}]` }, "is there twice"},
		{"a key of no text", func(c *rules.Config) { c.Rules = `[{"table":"a","key":5}]` }, "FN_RULES: rules[0].key is 5"},
		{"deep inside", func(c *rules.Config) {
			c.Rules = `[{"table":"a"},{"table":"b"},{"table":"c","filter":[{"path":"record.x","op":"equal","value":1}]}]`
		}, `FN_RULES: rules[2].filter[0].op is "equal"`},
		{"a map in a rule", func(c *rules.Config) { c.Rules = `[{"table":"a","value":{"n":"name"}}]` }, `FN_RULES: rules[0].value["n"] is "name"`},
		{"actions in a string", func(c *rules.Config) { c.Rules = `[{"table":"a","actions":"insert"}]` }, "not a list of actions"},
		{"an unknown action in a rule", func(c *rules.Config) { c.Rules = `[{"table":"a","actions":["inserts"]}]` }, "did you mean insert?"},
		{"zero expiry in a rule", func(c *rules.Config) { c.Rules = `[{"table":"a","expire_ms":0}]` }, "write null"},
		{"a mistake that entries share", func(c *rules.Config) { c.Key, c.Rules = "x", `[{"table":"a"},{"table":"b"}]` }, `FN_KEY is "x"`},
		{"two rules of one prefix", func(c *rules.Config) {
			c.Rules = `[{"table":"a","key":"p:{primary_key}"},{"table":"a","key":"p:sku:{record.sku}"}]`
		}, "the keys of rules[0] and rules[1] cannot be told apart"},
		{"two tables of one prefix", func(c *rules.Config) {
			c.Rules = `[{"table":"a","key":"{table_name}:{primary_key}"},{"table":"b","key":"a:{primary_key}"}]`
		}, `keys of one begin with "a:" and of the other with "a:"`},
		{"unknown action", func(c *rules.Config) { c.Actions = []string{"upsert"} }, "insert, update and delete"},
		{"no action", func(c *rules.Config) { c.Actions = nil }, "nothing would ever reach"},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := defaults()
			c.change(&config)
			found := config.Validate()
			if len(found) != 1 || !strings.Contains(found.Error(), c.want) || found[0].Fix == "" {
				t.Errorf("got %v, want one finding with %q and its fix", found, c.want)
			}
		})
	}
	if found := defaults().Validate(); len(found) > 0 {
		t.Error(found)
	}
}

func shapes(names ...string) (all []exchange.TableShape) {
	for _, name := range names {
		schema, table, _ := strings.Cut(name, ".")
		all = append(all, exchange.TableShape{Schema: schema, Name: table, PrimaryKey: []string{"id"}})
	}
	return all
}

func TestPlan(t *testing.T) {
	plan, err := compile(t, defaults()).Plan(shapes("public.orders", "public.orders_old", `shop.a"b`))
	if err != nil {
		t.Fatal(err)
	}
	of := plan.Tables["public.orders"].Rules
	table := func(prefix string) exchange.TablePlan {
		return exchange.TablePlan{Rules: of, KeyPrefix: prefix, KeyPrefixes: []string{prefix}, KeyColumns: []string{"id"}}
	}
	want := map[string]exchange.TablePlan{
		"public.orders": table("sequin:orders:"), "public.orders_old": table("sequin:orders_old:"), `shop."a""b"`: table(`sequin:a"b:`),
	}
	if diff := cmp.Diff(want, plan.Tables); diff != "" {
		t.Error(diff)
	}
}

func TestPlan_RefusesKeysThatCannotBeToldApart(t *testing.T) {
	for _, c := range []struct {
		name, template string
		tables         []exchange.TableShape
		want           string
	}{
		{"same table in two schemas", "sequin:{table_name}:{primary_key}", shapes("public.t", "other.x", "shop.t"), `keys of public.t begin with "sequin:t:" and keys of shop.t with "sequin:t:"`},
		{"no table at all", "sequin:{primary_key}", shapes("public.a", "public.b"), "keys of public.a begin with"},
		{"no mark behind the name", "sequin:{table_name}{primary_key}", shapes("public.orders_old", "public.orders"), `keys of public.orders begin with "sequin:orders" and keys of public.orders_old with`},
		{"a name with the mark", "sequin:{table_name}:{primary_key}", shapes("public.a", "public.a0", "public.a:b"), `keys of public.a begin with "sequin:a:" and keys of public.a:b with`},
		{"every finding", "freshe{table_name}:{record.x}", []exchange.TableShape{{Schema: "public", Name: "t"}, {Schema: "public", Name: "u", PrimaryKey: []string{"id"}, Columns: []string{"id", "y"}}}, "in 3 ways"},
		{"no primary key", "sequin:{table_name}:{primary_key}", []exchange.TableShape{{Schema: "public", Name: "t"}}, "rows of public.t have no key"},
		{"our own names", "{table_name}:{primary_key}", shapes("public.freshet"), "freshet's own state"},
		{"the beginning of our own names", "{table_name}{primary_key}", shapes("public.fresh"), "freshet's own state"},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := defaults()
			config.Key = c.template
			_, err := compile(t, config).Plan(c.tables)
			var refused *rules.Unplannable
			if !errors.As(err, &refused) || !strings.Contains(strings.ReplaceAll(err.Error(), `"a:b"`, "a:b"), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestPlan_HashFollowsTheRules(t *testing.T) {
	hash := func(edit func(*rules.Config)) string {
		config := defaults()
		edit(&config)
		plan, err := compile(t, config).Plan(nil)
		if err != nil {
			t.Fatal(err)
		}
		return plan.Rules
	}
	first := hash(func(*rules.Config) {})
	if again := hash(func(c *rules.Config) { c.Actions = []string{"delete", "insert", " update"} }); again != first {
		t.Error("the order of the actions does not matter")
	}
	if again := hash(func(c *rules.Config) { c.Write = "set" }); again != first {
		t.Error("what is the default may be written or not")
	}
	for _, other := range []string{
		hash(func(c *rules.Config) { c.Key = "x:{primary_key}" }), hash(func(c *rules.Config) { c.Value = "record.name" }),
		hash(func(c *rules.Config) { c.Filter = `[{"path":"record.a","op":"not_null"}]` }), hash(func(c *rules.Config) { c.Write = "xx" }),
		hash(func(c *rules.Config) { c.Rules = `[{"table":"a"}]` }), hash(func(c *rules.Config) { c.Rules = `[{"table":"b"}]` }),
		hash(func(c *rules.Config) { c.ExpireMS = "5" }), hash(func(c *rules.Config) { c.Actions = []string{"delete"} }),
	} {
		if other == first {
			t.Error("other rules, same hash")
		}
	}
}

// A rule that changes concerns its own tables alone.
func TestPlan_HashOfATable(t *testing.T) {
	of := func(list string) (products, orders string) {
		config := defaults()
		config.Rules = list
		plan, err := compile(t, config).Plan(shapes("public.products", "public.orders"))
		if err != nil {
			t.Fatal(err)
		}
		return plan.Tables["public.products"].Rules, plan.Tables["public.orders"].Rules
	}
	products, orders := of(`[{"table":"products","expire_ms":5}]`)
	newProducts, sameOrders := of(`[{"table":"products","expire_ms":6}]`)
	if products == newProducts || orders != sameOrders {
		t.Errorf("products %s -> %s, orders %s -> %s", products, newProducts, orders, sameOrders)
	}
}

func TestRules_OfAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "rules.json")
	if err := os.WriteFile(file, []byte("\n[{\"table\":\"t\",\"key\":\"x:{primary_key}\"}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	config := defaults()
	config.Rules = "@" + file
	if got := render(compile(t, config), row(change.Delete, "t", `{"id":1}`, "id")); got != "DEL x:1" {
		t.Error(got)
	}
}

// Texts that can hold the mark between them can make the same key of two rows.
func TestPlan_WarnsOfTexts(t *testing.T) {
	for texts, want := range map[string]int{"": 0, "a": 0, "a b": 1, "c": 0} {
		shape := exchange.TableShape{Schema: "public", Name: "t", PrimaryKey: []string{"a", "b"}, TextColumns: strings.Fields(texts)}
		plan, err := compile(t, defaults()).Plan([]exchange.TableShape{shape})
		if err != nil || len(plan.Warnings) != want {
			t.Errorf("texts %q: got %v %v, want %d warnings", texts, plan.Warnings, err, want)
		}
	}
}

// With code for the values, all columns may be used, and the version of the code is part of the rules.
func TestRules_ByCode(t *testing.T) {
	config := defaults()
	config.Value = "record.a"
	r := compile(t, config)
	hashes := map[string]bool{}
	for _, of := range []*rules.Rules{r, r.ByCode(""), r.ByCode("2")} {
		plan, err := of.Plan(shapes("public.t"))
		if err != nil {
			t.Fatal(err)
		}
		hashes[plan.Rules] = true
		hashes[plan.Tables["public.t"].Rules] = true
		if all := len(plan.Tables["public.t"].UsedColumns) == 0; all != (of != r) {
			t.Errorf("used columns: %v", plan.Tables["public.t"].UsedColumns)
		}
	}
	if len(hashes) != 3 { // of one table without entries, all rules are its rules
		t.Errorf("got %d hashes, want them all different", len(hashes))
	}
}

func TestDoubts(t *testing.T) {
	config := defaults()
	config.Key = "k:{record.a}{primary_key}"
	config.Rules = `[{"table":"t","key":"t:{primary_key}"}]`
	found := compile(t, config).Doubts()
	if len(found) != 1 || !found[0].Warning || !strings.Contains(found.Error(), "by the rule default") {
		t.Errorf("got %v", found)
	}
}

func TestRenderer_FollowsChangingTables(t *testing.T) {
	r := &rules.Renderer{Rules: compile(t, defaults())}
	var b effect.Batch
	for i, m := range []change.Message{
		row(change.Delete, "a", `{"id":1,"x":2}`, "id"), row(change.Delete, "b", `{"id":1,"x":2}`, "id"),
		row(change.Delete, "a", `{"id":1,"x":2}`, "x"), row(change.Delete, "a", `{"id":1,"x":2}`, "id", "x"), row(change.Delete, "a", `{"id":3,"x":2}`, "id"),
	} {
		if _, err := r.Render(&m, &b); err != nil {
			t.Fatal(i, err)
		}
	}
	var got []string
	for _, w := range b.Writes {
		got = append(got, w.Key)
	}
	if diff := cmp.Diff([]string{"sequin:a:1", "sequin:b:1", "sequin:a:2", "sequin:a:1-2", "sequin:a:3"}, got); diff != "" {
		t.Error(diff)
	}
}

// A renderer outlives a batch, and so does the memory that the batch was in: what is at the same place then is of other tables.
func TestRenderer_FollowsBatchesInTheSameMemory(t *testing.T) {
	r := &rules.Renderer{Rules: compile(t, defaults())}
	var body []byte
	var batch change.Batch
	for range 3 {
		for _, as := range []struct{ schema, table, key, want string }{
			{"public", "aaa", "id", "sequin:aaa:1"}, {"public", "bbb", "id", "sequin:bbb:1"}, {"public", "bbb", "no", "sequin:bbb:2"}, {"others", "bbb", "no", "sequin:bbb:2"},
			{"public", "bb", "id", "sequin:bb:1"},
		} {
			message := fmt.Sprintf(`{"action":"read","record":{"id":1,"no":2},"metadata":{"primary_key":[%q],"table_schema":%q,"table_name":%q}}`, as.key, as.schema, as.table)
			body = fmt.Appendf(body[:0], `{"messages":[%s]}`, message)
			if err := change.ParseBatchInto(&batch, body); err != nil {
				t.Fatal(err)
			}
			var b effect.Batch
			if _, err := r.Render(&batch.Messages[0], &b); err != nil || len(b.Writes) != 1 || b.Writes[0].Key != as.want {
				t.Errorf("%+v: got %+v, %v", as, b.Writes, err)
			}
		}
	}
}

// A key that was come upon while the message was read makes the same of it as one that is looked for.
func TestRender_KeysComeUponAreThoseFound(t *testing.T) {
	met := 0
	for _, template := range []string{
		"sequin:{table_name}:{primary_key}", "k:{primary_key}:{primary_key}", "k:{record.id}", "k:{record.id.a}", "k:{primary_key}:{record.sku}", "k:{record.sku}", "k:{record.sku|@this}:{record.id}",
	} {
		c := defaults()
		c.Key = template
		r := compile(t, c)
		for _, id := range []string{`1`, `-1.50`, `"x"`, `"x\u0079\"z"`, `""`, `null`, `true`, `{"a":[1]}`, `[ ]`} {
			for _, action := range []string{"insert", "update", "delete"} {
				for _, primary := range []string{`["id"]`, `["sku"]`, `["id","sku"]`, `["no"]`, `[]`} {
					message := fmt.Sprintf(`{"action":%q,"record":{ "id" : %s , "sku" : "s", "id" : 7},"changes":{"sku":"t"},"metadata":{"table_name":"t","primary_key":%s}}`, action, id, primary)
					b, err := change.ParseBatch([]byte(`{"messages":[` + message + `,` + message + `]}`))
					if err != nil {
						t.Fatal(err)
					}
					m := b.Messages[1]
					if m.Key() != "" {
						met++
					}
					looked := m
					if looked.Record = strings.Clone(m.Record); looked.Key() != "" {
						t.Fatal("the key of another record")
					}
					if got, want := render(r, m), render(r, looked); got != want {
						t.Errorf("%s of %s: got %s, want %s", template, message, got, want)
					}
				}
			}
		}
	}
	if met == 0 {
		t.Error("no key was come upon")
	}
}
