package rules_test

import (
	"encoding/json"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"

	"freshet/functions/rules"
	"freshet/shared/change"
	"freshet/shared/exchange"
)

// A key is the template with its places filled, whatever the row and the names are: encoding/json is the judge.
func FuzzKey(f *testing.F) {
	f.Add("id", "other", "Mug", `{"id":1}`)
	f.Add("a.b", `q"u\o`, "x\n🥂", `[1,{"a.b":"}"}]`)
	f.Add("*", "@this", "", `"\ud83d"`)
	f.Fuzz(func(t *testing.T, column, other, text, raw string) {
		if !utf8.ValidString(column) || !utf8.ValidString(other) || !utf8.ValidString(text) || column == other || column == "" || !json.Valid([]byte(raw)) {
			t.Skip()
		}
		name := func(s string) string { return string(change.AppendString(nil, []byte(s))) }
		record := "{" + name(other) + ": " + raw + " ," + name(column) + ":" + name(text) + "}"
		r, err := rules.Compile(rules.Config{Key: "k:{table_name}:{primary_key}.", Value: "record", Actions: []string{"delete"}})
		if err != nil {
			t.Fatal(err)
		}
		got := render(r, row(change.Delete, "t", record, column))
		switch {
		case text == "":
			if !strings.Contains(got, "is empty") {
				t.Errorf("got %s, want an empty part to be refused", got)
			}
		case got != "DEL k:t:"+text+".":
			t.Errorf("record %s: got %s", record, got)
		}
	})
}

// Reading the record alone must find what the path finds in the whole message.
func FuzzValue(f *testing.F) {
	for _, path := range []string{"name", `{name,"s":price}`, "@this", "@keys", "#", "*", "t.#(a>1).b", "t.#.a", `a\.b`, "@pretty:{\"indent\":\"\"}", "..0", "@flatten", "!1", "t|@reverse"} {
		f.Add(path, `{"name":"n","price":1.50,"t":[{"a":2,"b":3}],"a.b":1}`)
	}
	f.Fuzz(func(t *testing.T, path, record string) {
		if len(path)+len(record) > 2000 || !gjson.Valid(record) || !gjson.Parse(record).IsObject() {
			t.Skip()
		}
		config := defaults()
		config.Value = "record." + path
		r, err := rules.Compile(config)
		if err != nil {
			return // refusing is fine, crashing is not
		}
		config.Key = "k:{primary_key}"
		m := row(change.Insert, "t", record, "id")
		got, err := rules.ValueOf(r, &m)
		whole := gjson.Get(`{"record":`+record+`}`, config.Value)
		want := whole.Raw
		if whole.Type == gjson.String {
			want = whole.Str
		}
		var poison *rules.Poison
		if err != nil && (!errors.As(err, &poison) || whole.Exists()) || err == nil && got != want {
			t.Errorf("%s of %s: got %q %v, want %q", config.Value, record, got, err, want)
		}
	})
}

// The object of a map is what sjson makes when it sets one value after the other.
func FuzzMap(f *testing.F) {
	record := `{"name":"M\u00e9","price":12.50,"n":{"a":[1, 2.0,{"b":null}]},"big":123456789012345678901234567890.10,"a.b":true}`
	f.Add("name", "record.name", "stock.count", "record.price", "stock.unit", `!"x"`, record)
	f.Add("a.0", "record.n", "a.-1", "record.n.a", `a\.b`, `record.a\.b`, record)
	f.Add("x.2", "record.n.a.#", "x.:1", "record.missing", "x.0.y", "record.n.a.@reverse", record)
	f.Add("b.:0", "action", "a", "metadata.table_name", "b.c", "record.{name,big}", record)
	f.Add("x\u0000", "record.n", "\"", "record.n", "\\", "record.price", record)
	f.Fuzz(func(t *testing.T, at1, path1, at2, path2, at3, path3, record string) {
		if len(at1)+len(path1)+len(at2)+len(path2)+len(at3)+len(path3)+len(record) > 2000 || !gjson.Valid(record) || !gjson.Parse(record).IsObject() {
			t.Skip()
		}
		places, paths := []string{at1, at2, at3}, []string{path1, path2, path3}
		text := "{"
		for i := range places {
			name, _ := json.Marshal(places[i])
			path, _ := json.Marshal(paths[i])
			if i > 0 {
				text += ","
			}
			text += string(name) + ":" + string(path)
		}
		config := defaults()
		config.Value = text + "}"
		r, err := rules.Compile(config)
		if err != nil {
			return // refusing is fine, crashing is not
		}
		m := row(change.Insert, "t", record, "id")
		got, err := rules.ValueOf(r, &m)
		if err != nil {
			t.Fatal(err)
		}
		want := ""
		// Names that are no valid text are written as JSON has them, so they are read back from there.
		gjson.Parse(config.Value).ForEach(func(at, path gjson.Result) bool {
			found := gjson.Get(rules.Whole(&m), path.Str)
			raw := found.Raw
			if !found.Exists() {
				raw = "null"
			} else if raw == "" {
				raw = found.String()
			}
			want, err = sjson.SetRaw(want, at.Str, raw)
			return err == nil
		})
		if err != nil || got != want {
			t.Errorf("%s of %s:\ngot  %s\nwant %s %v", config.Value, record, got, want, err)
		}
	})
}

// What a rule does not say it reads makes no difference.
func FuzzUsedColumns(f *testing.F) {
	record := `{"id":1,"name":"n","price":1.50,"t":[{"a":2,"b":3}],"a.b":1,"s":{"u":{"v":"w"}}}`
	for _, path := range []string{
		"record.name", "record.{name,\"x\":t.0.a}", `{"a":record.s.u,"b":changes.price,"c":metadata.table_name}`, `record.a\.b`, "record.t.#(a>1).b",
		"record.[name,s.u|v]", "record|name", "record.@this.name", "record.*", "record.s.@keys", `{record.name,"z":!"1"}`, "record.{s.{u}}", "record.{@this,name}", `{"a:b":record.name:x}`,
	} {
		f.Add(path, record)
	}
	f.Fuzz(func(t *testing.T, path, record string) {
		if len(path)+len(record) > 2000 || !gjson.Valid(record) || !gjson.Parse(record).IsObject() {
			t.Skip()
		}
		config := defaults()
		config.Value = path
		r, err := rules.Compile(config)
		if err != nil {
			return
		}
		plan, err := r.Plan([]exchange.TableShape{{Schema: "public", Name: "t", PrimaryKey: []string{"id"}}})
		if err != nil {
			t.Fatal(err)
		}
		used := plan.Tables["public.t"].UsedColumns
		if len(used) == 0 {
			return
		}
		narrow := ""
		seen := map[string]bool{}
		gjson.Parse(record).ForEach(func(name, value gjson.Result) bool {
			if slices.Contains(used, name.Str) {
				narrow += "," + name.Raw + ":" + value.Raw
			}
			seen[name.Str] = seen[name.Str] || strings.ContainsRune(name.Str, utf8.RuneError)
			return true
		})
		for _, odd := range seen {
			if odd {
				t.Skip() // no column has such a name
			}
		}
		narrow = "{" + strings.TrimPrefix(narrow, ",") + "}"
		all, few := row(change.Insert, "t", record, "id"), row(change.Insert, "t", narrow, "id")
		want, err1 := rules.ValueOf(r, &all)
		got, err2 := rules.ValueOf(r, &few)
		if got != want || (err1 == nil) != (err2 == nil) {
			t.Errorf("%s reads %q, but of %s it makes %q %v, and of %s %q %v", path, used, record, want, err1, narrow, got, err2)
		}
	})
}

// A template of plain columns is the text with the columns' texts in their places; no template makes anything fall over.
func FuzzTemplate(f *testing.F) {
	for _, text := range []string{"p:{record.sku}", "{table_schema}/{table_name}:{primary_key}:{record.a.b}", "p:{record.tags.#(x==\"}\").y}", "p:{record.a\\}b}", "}{", "p:{record.x}{record.x}"} {
		f.Add(text, "A", `{"b":1}`)
	}
	f.Fuzz(func(t *testing.T, text, sku, a string) {
		if !utf8.ValidString(sku) || !json.Valid([]byte(a)) || len(text) > 500 {
			t.Skip()
		}
		config := defaults()
		config.Key = text
		r, err := rules.Compile(config)
		if err != nil {
			return
		}
		record := `{"id":7,"sku":` + string(change.AppendString(nil, []byte(sku))) + `,"a":` + a + `}`
		got := render(r, row(change.Delete, "t", record, "id"))
		want := strings.NewReplacer("{table_schema}", "public", "{table_name}", "t", "{primary_key}", "7", "{record.sku}", sku).Replace(text)
		if strings.Contains(text, "{record.sku}") && strings.Count(text, "{") == strings.Count(text, "{table_")+strings.Count(text, "{primary_key}")+strings.Count(text, "{record.sku}") && got != "DEL "+want && !strings.HasPrefix(want, "freshet:") {
			if sku != "" || got != "filtered" {
				t.Errorf("%s: got %s, want DEL %s", text, got, want)
			}
		}
	})
}

// Any filter is refused or answers; a comparison of numbers is that of their values.
func FuzzFilter(f *testing.F) {
	f.Add(">", "9223372036854775807", "9223372036854775807.0")
	f.Add("<=", "1e2", "100")
	f.Add("!=", "-0", "0.0e9")
	f.Add("in", `["a",1]`, `"a"`)
	f.Add("contains", `"a"`, `["b","a"]`)
	f.Add("prefix", `"a"`, "null")
	f.Add("<", "1234567890123456789012345678901234567890.1", "1234567890123456789012345678901234567890.11")
	f.Fuzz(func(t *testing.T, op, value, found string) {
		if len(op)+len(value)+len(found) > 500 || !gjson.Valid(found) || !gjson.Valid(value) {
			t.Skip()
		}
		config := defaults()
		config.Filter = `[{"path":"record.x","op":` + string(change.AppendString(nil, []byte(op))) + `,"value":` + value + `}]`
		r, err := rules.Compile(config)
		if err != nil {
			return
		}
		kept := strings.HasPrefix(render(r, row(change.Insert, "t", `{"id":1,"x":`+found+`}`, "id")), "SET")
		a, b := gjson.Parse(found), gjson.Parse(value)
		if a.Type == gjson.Null && kept != (op == "is_null") {
			t.Errorf("null %s %s: %v", op, value, kept)
		}
		if a.Type != gjson.Number || b.Type != gjson.Number || far(a.Raw) || far(b.Raw) {
			return
		}
		x, ok := new(big.Rat).SetString(a.Raw)
		y, ok2 := new(big.Rat).SetString(b.Raw)
		if !ok || !ok2 {
			return // gjson takes more for a number than there is
		}
		n := x.Cmp(y)
		want, known := map[string]bool{"=": n == 0, "!=": n != 0, ">": n > 0, ">=": n >= 0, "<": n < 0, "<=": n <= 0}[op]
		if known && kept != want {
			t.Errorf("%s %s %s: got %v", found, op, value, kept)
		}
	})
}

// far says that a number has an exponent with which big.Rat would take all memory.
func far(number string) bool {
	_, exponent, _ := strings.Cut(strings.ToLower(number), "e")
	return len(exponent) > 4
}
