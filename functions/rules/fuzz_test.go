package rules_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"freshet/functions/rules"
	"freshet/shared/change"
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
