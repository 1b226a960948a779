package rules_test

import (
	"testing"

	"github.com/tidwall/gjson"

	"freshet/functions/rules"
	"freshet/shared/change"
	"freshet/shared/exchange"
)

// incomparable is what the plan says of a table whose value is this path.
func incomparable(t *testing.T, path string) string {
	t.Helper()
	config := defaults()
	config.Value = path
	r, err := rules.Compile(config)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := r.Plan([]exchange.TableShape{{Schema: "public", Name: "t", PrimaryKey: []string{"id"}}})
	if err != nil {
		t.Fatal(err)
	}
	return plan.Tables["public.t"].Incomparable
}

func TestPlan_SaysWhatCannotBeCompared(t *testing.T) {
	for _, path := range []string{
		"record", "record.name", "record.{name,price}", `record.{name,"t":tags.0}`, "record|@pretty", "record.tags.#(a>1)#|@reverse", "record.@this",
		"metadata.table_name", "metadata.table_schema", "metadata.primary_key.0", `!"constant"`,
		"{record.name,metadata.table_name}", `{"n":record.name,"in":{"t":metadata.table_name}}`, "[record.id,record.name]", "{record}.record", `{a\:b:record.x,"c,:d":record.y}`,
	} {
		if why := incomparable(t, path); why != "" {
			t.Errorf("%s: %s", path, why)
		}
	}
	for _, path := range []string{
		"metadata", "metadata.commit_timestamp", "metadata.position", "metadata.transaction_id", "metadata.{table_name}", "changes", "changes.name", "action",
		"{record.name,metadata.commit_timestamp}", `{"record.a":metadata.position}`, "[record.id,action]", "{record.a@x:metadata.position}", "@this", "@this.record", "{record,{action}}",
	} {
		if why := incomparable(t, path); why == "" {
			t.Errorf("%s passes for a value that the row alone decides", path)
		}
	}
}

// So do filters, maps and rules that only remove keys.
func TestPlan_SaysWhichRulesCannotBeCompared(t *testing.T) {
	for edit, want := range map[string]bool{
		`{"table":"t","value":{"a":"record.x","b":"metadata.table_name"}}`: true, `{"table":"t","value":{"a":"record.x","b":"changes.x"}}`: false,
		`{"table":"t","filter":[{"path":"record.x","op":"is_null"}]}`: true, `{"table":"t","filter":[{"path":"action","op":"=","value":"insert"}]}`: false,
		`{"table":"t","actions":["insert","delete"]}`: false, `{"table":"t","actions":["insert","update"]}`: true, `{"table":"t","write":"xx"}`: true, `{"table":"t","write":"delete"}`: false, `{"table":"t","value":"record.x"},{"table":"t","key":"b:{primary_key}","value":"action"}`: false,
	} {
		config := defaults()
		config.Rules = "[" + edit + "]"
		plan, err := compile(t, config).Plan([]exchange.TableShape{{Schema: "public", Name: "t", PrimaryKey: []string{"id"}}})
		if err != nil {
			t.Fatal(err)
		}
		if why := plan.Tables["public.t"].Incomparable; (why == "") != want {
			t.Errorf("%s: got %q", edit, why)
		}
	}
}

// What the plan calls comparable must not change with anything but the row.
func FuzzIncomparable(f *testing.F) {
	for _, path := range []string{"record.a", "{record.a,action}", `{"x":record.a,"y":metadata.table_name}`, "[record,metadata.position]", "{record.a@x:metadata.position}", "metadata.table_name", "!1", "record|@this", "{record.a.@y:action}"} {
		f.Add(path, `{"id":1,"a":"x"}`)
	}
	f.Fuzz(func(t *testing.T, path, record string) {
		if len(path)+len(record) > 2000 || !gjson.Valid(record) || !gjson.Parse(record).IsObject() {
			t.Skip()
		}
		config := defaults()
		config.Value = path
		r, err := rules.Compile(config)
		if err != nil {
			t.Skip()
		}
		plan, err := r.Plan([]exchange.TableShape{{Schema: "public", Name: "t", PrimaryKey: []string{"id"}}})
		if err != nil || plan.Tables["public.t"].Incomparable != "" {
			t.Skip()
		}
		read := row(change.Read, "t", record, "id")
		changed := row(change.Update, "t", record, "id")
		changed.Changes = `{"a":"before","id":7}`
		changed.Metadata.CommitTimestamp, changed.Metadata.TransactionID = "2026-01-01T10:00:00.000000Z", 771
		changed.Metadata.Position = change.Position{Commit: 0x100, Ordinal: 7}
		a, errA := rules.ValueOf(r, &read)
		b, errB := rules.ValueOf(r, &changed)
		if a != b || (errA == nil) != (errB == nil) {
			t.Errorf("%s of %s: %q %v when it is read, %q %v when it changes", path, record, a, errA, b, errB)
		}
	})
}
