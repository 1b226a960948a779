package rules_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"freshet/functions/effect"
	"freshet/functions/rules"
	"freshet/shared/change"
	"freshet/shared/exchange"
)

func inverter(t *testing.T, key string, tables ...string) *rules.Inverter {
	t.Helper()
	config := defaults()
	config.Key = key
	r, err := rules.Compile(config)
	if err != nil {
		t.Fatal(err)
	}
	var shapes []exchange.TableShape
	for _, name := range tables {
		shapes = append(shapes, exchange.TableShape{Schema: "public", Name: name, PrimaryKey: []string{"id"}})
	}
	v, err := r.Inverter(shapes)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestInverter(t *testing.T) {
	for _, c := range []struct{ template, key, want string }{
		{"k:{table_name}:{primary_key}", "k:t:42", "public.t 42"},
		{"k:{table_name}:{primary_key}", "k:t:a-b:c", "public.t a-b:c"},
		{"k:{table_name}:{primary_key}", "k:t:", "public.t "},
		{"k:{table_name}:{primary_key}", "k:t:\xff", "public.t "},
		{"k:{table_name}:{primary_key}", "k:t:é", "public.t é"},
		{"k:{table_name}:{primary_key}", "k:tt:1", "public.tt 1"},
		{"k:{table_name}:{primary_key}", "k:t", "none"},
		{"k:{table_name}:{primary_key}", "k:u:1", "none"},
		{"k:{table_name}:{primary_key}", "", "none"},
		{"k:{table_name}:{primary_key}", "freshet:freshet:state", "none"},
		{"k:{table_name}:{primary_key}:row", "k:t:7:row", "public.t 7"},
		{"k:{table_name}:{primary_key}:row", "k:t:7:rows", "public.t "},
		{"k:{table_name}:{primary_key}:row", "k:t::row", "public.t "},
		{"k:{table_name}:{primary_key}:row", "k:t:row", "public.t "},
		{"{table_name}.{primary_key}.{primary_key}", "t.12.12", "public.t 12"},
		{"{table_name}.{primary_key}.{primary_key}", "t.12.13", "public.t "},
		{"{table_name}.{primary_key}.{primary_key}", "t.1.2.1.2", "public.t 1.2"},
		{"{table_name}.{primary_key}.{primary_key}", "t.1.2.1", "public.t "},
		{"{table_name}*[{primary_key}]{primary_key}", "t*[7]7", "public.t 7"},
	} {
		is, ours := inverter(t, c.template, "t", "tt", "s").Of(c.key)
		got := is.Table + " " + is.PrimaryKey
		if !ours {
			got = "none"
		}
		if got != c.want {
			t.Errorf("%s of %q: got %q, want %q", c.template, c.key, got, c.want)
		}
	}
}

// A table of several rules has keys under several prefixes. Those of one rule can lead nowhere while those of another lead to the row.
func TestInverter_SeveralRules(t *testing.T) {
	config := defaults()
	config.Rules = `[{"table":"t","key":"a:{primary_key}"},{"table":"t","key":"b:{record.x}:{primary_key}"},{"table":"u","key":"u:1:{primary_key}"},{"table":"u","key":"u:2:{primary_key}:"}]`
	r := compile(t, config)
	shape := func(name string, key ...string) exchange.TableShape {
		return exchange.TableShape{Schema: "public", Name: name, PrimaryKey: key, OldColumns: []string{"x"}}
	}
	v, err := r.Inverter([]exchange.TableShape{shape("t", "id"), shape("u", "p", "q")})
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]rules.Inverse{
		"a:1": {Table: "public.t", PrimaryKey: "1"}, "b:1:2": {Table: "public.t", Irreversible: true},
		"u:1:7-8": {Table: "public.u", PrimaryKey: "7-8"}, "u:2:7-8:": {Table: "public.u", PrimaryKey: "7-8"}, "u:2:7-8": {Table: "public.u"}, "u:3:7": {},
	} {
		if got, ours := v.Of(key); got != want || ours != (want.Table != "") {
			t.Errorf("%s: got %+v %v, want %+v", key, got, ours, want)
		}
	}
	if one, err := r.Inverter([]exchange.TableShape{shape("u", "p", "q")}); err != nil || one.Prefix() != "u:" {
		t.Errorf("prefix %q, %v", one.Prefix(), err)
	}
}

func TestInverter_OneTableHasAPrefix(t *testing.T) {
	if got := inverter(t, "k:{table_name}:{primary_key}", "t").Prefix(); got != "k:t:" {
		t.Errorf("got %q", got)
	}
	if got := inverter(t, "k:{table_name}:{primary_key}", "t", "u").Prefix(); got != "" {
		t.Errorf("of two tables: got %q", got)
	}
	if _, ours := inverter(t, "k:{table_name}:{primary_key}").Of("k:t:1"); ours {
		t.Error("of no table: a key is ours")
	}
}

func TestInverter_OfEveryWayToWriteAKey(t *testing.T) {
	for template, want := range map[string]string{"k:{table_name}:{primary_key}": "", "k:{primary_key}{record.sku}": "{record.sku}", "k:{record.sku}": "{record.sku}", "k": "no {primary_key}"} {
		if got := rules.Irreversible(template); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s: got %q, want %q", template, got, want)
		}
	}
}

// A key that was made of a row leads back to the text of its primary key, and a key that leads to a text is the key of that text.
func FuzzInverter(f *testing.F) {
	f.Add("k:{table_name}:{primary_key}", "42", "k:t:42")
	f.Add("{table_name}{primary_key}x{primary_key}", "axa", "tax")
	f.Add("{table_schema}*{primary_key}{table_name}", "🥂", "public*\xfft")
	f.Fuzz(func(t *testing.T, template, text, key string) {
		config := defaults()
		config.Key = template
		r, err := rules.Compile(config)
		if err != nil || !utf8.ValidString(template) || !utf8.ValidString(text) || text == "" {
			t.Skip()
		}
		v, err := r.Inverter([]exchange.TableShape{{Schema: "public", Name: "t", PrimaryKey: []string{"id"}}})
		if err != nil {
			t.Skip()
		}
		made := func(text string) string {
			m := row(change.Delete, "t", `{"id":`+string(change.AppendString(nil, []byte(text)))+`}`, "id")
			var b effect.Batch
			if _, err := (&rules.Renderer{Rules: r}).Render(&m, &b); err != nil {
				t.Fatal(err)
			}
			return b.Writes[0].Key
		}
		if is, ours := v.Of(made(text)); !ours || is.PrimaryKey != text {
			t.Errorf("%s: %q led back to %q, want %q", template, made(text), is.PrimaryKey, text)
		}
		if is, ours := v.Of(key); ours && is.PrimaryKey != "" && made(is.PrimaryKey) != key {
			t.Errorf("%s: %q led to %q, whose key is %q", template, key, is.PrimaryKey, made(is.PrimaryKey))
		}
	})
}
