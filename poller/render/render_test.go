package render_test

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"freshet/poller/render"
)

func builtin(name string) *render.Type { return types[name] }

var (
	types = map[string]*render.Type{
		"bool": render.Builtin(16), "int4": render.Builtin(23), "int8": render.Builtin(20), "float8": render.Builtin(701),
		"numeric": render.Builtin(1700), "text": render.Builtin(25), "json": render.Builtin(114), "jsonb": render.Builtin(3802),
		"timestamp": render.Builtin(1114), "timestamptz": render.Builtin(1184), "uuid": render.Builtin(2950),
		"int4[]": render.Builtin(1007), "text[]": render.Builtin(1009), "box[]": render.Builtin(1020), "int2vector": render.Builtin(22),
		"date": render.Builtin(1082), "bytea": render.Builtin(17), "item": item, "item[]": render.ArrayOf(0, item),
		"hstore": {Name: "hstore", Kind: render.HStore}, "gone": {OID: 99999, Name: "unknown"}, "empty": {Kind: render.Composite},
	}
	item = &render.Type{Name: "item", Kind: render.Composite, Fields: []render.Field{
		{Name: "id", Type: render.Builtin(23)},
		{Name: "a name of more than thirty-two bytes, quoted", Type: render.Builtin(25)},
		{Name: "tags", Type: render.Builtin(1009)},
	}}
)

func TestAppend(t *testing.T) {
	for _, c := range []struct {
		typ, text, want string
		ok              bool
	}{
		{"int4", "42", "42", true},
		{"float8", "-0", "-0", true},
		{"timestamptz", "0044-03-15 12:00:00.5+00 BC", `"0044-03-15T12:00:00.5+00:00 BC"`, true},
		{"timestamptz", "2026-01-01 10:00:00-05:30", `"2026-01-01T10:00:00-05:30"`, true},
		{"timestamptz", "1800-01-01 10:00:00+00:19:32", `"1800-01-01T10:00:00+00:19:32"`, true},
		{"box[]", "{(1,1),(0,0);(2,2),(1,1)}", `["(1,1),(0,0)","(2,2),(1,1)"]`, true},
		{"int4[]", "[0:2]={1,2,NULL}", "[1,2,null]", true},
		{"text[]", `{"NULL",NULL,"","a\"\\b",x}`, `["NULL",null,"","a\"\\b","x"]`, true},
		{"text[]", "{}", "[]", true},
		{"empty", "()", "{}", true},
		{"gone", "anything", `"anything"`, true},

		// A value that is not of its type travels as its text.
		{"bool", "true", `"true"`, false},
		{"int4", "", `""`, false},
		{"int4", "01", `"01"`, false},
		{"int4", "1.", `"1."`, false},
		{"int4", "+1", `"+1"`, false},
		{"int4", "-", `"-"`, false},
		{"numeric", "1e", `"1e"`, false},
		{"numeric", "0x1F", `"0x1F"`, false},
		{"numeric", "nan", `"nan"`, false},
		{"json", `{"a":}`, `"{\"a\":}"`, false},
		{"json", "", `""`, false},
		{"jsonb", "", `""`, false},
		{"timestamp", "01.02.2026 10:00", `"01.02.2026 10:00"`, false},
		{"timestamptz", "2026-01-01 10:00:00", `"2026-01-01 10:00:00"`, false},
		{"timestamptz", "2026-01-01 10:00:00 UTC", `"2026-01-01 10:00:00 UTC"`, false},
		{"int2vector", "1 x", `[1,"x"]`, false},
		// Of a container only the value that cannot be read, where the container itself can.
		{"int4[]", "{1,x,3}", `[1,"x",3]`, false},
		{"int4[]", "{1,2", `"{1,2"`, false},
		{"int4[]", "{1,2}}", `"{1,2}}"`, false},
		{"int4[]", "{1,}", `"{1,}"`, false},
		{"int4[]", "{{{{{{{1}}}}}}}", `"{{{{{{{1}}}}}}}"`, false},
		{"text[]", `{"a}`, `"{\"a}"`, false},
		{"text[]", `{"a\`, `"{\"a\\"`, false},
		{"text[]", `{a"b}`, `"{a\"b}"`, false},
		{"item", `(x,"a",{b})`, `{"id":"x","a name of more than thirty-two bytes, quoted":"a","tags":["b"]}`, false},
		{"item", `(1,a)`, `"(1,a)"`, false}, // an attribute was added after the type was read
		{"item", `(1,a,{},more)`, `"(1,a,{},more)"`, false},
		{"item", `1`, `"1"`, false},
		{"item", ``, `""`, false},
		{"hstore", `"a"=>1`, `"\"a\"=>1"`, false},
		{"hstore", `"a"=>"1","b"=>"2"`, `"\"a\"=>\"1\",\"b\"=>\"2\""`, false},
	} {
		got, ok := builtin(c.typ).Append([]byte("before"), []byte(c.text))
		if string(got) != "before"+c.want || ok != c.ok {
			t.Errorf("%s %s: got %s, %v, want %s, %v", c.typ, c.text, got, ok, c.want, c.ok)
		}
	}
}

func FuzzAppend_IsAlwaysJSON(f *testing.F) {
	for name := range types {
		for _, text := range []string{"", "1", `{"a","b\"c"}`, `(1,"a ""b",{x})`, `"a"=>"b"`, "2026-01-01 10:00:00+00", `("{1,""(2,3)""}",,)`, "{{1},{2}}"} {
			f.Add(name, text)
		}
	}
	f.Fuzz(func(t *testing.T, name, text string) {
		typ := types[name]
		if typ == nil || !utf8.ValidString(text) || typ.Kind == render.JSONB && !gjson.Valid(text) {
			t.Skip()
		}
		before := strings.Clone(text)
		got, _ := typ.Append([]byte("before"), []byte(text))
		value, found := bytes.CutPrefix(got, []byte("before"))
		if !found || !gjson.ValidBytes(value) {
			t.Errorf("%s %q: got %s", name, text, got)
		}
		if text != before {
			t.Error("the text was changed")
		}
	})
}

var samples = []struct{ typ, text string }{
	{"bool", "t"},
	{"int8", "9223372036854775807"},
	{"float8", "1.7976931348623157e+308"},
	{"numeric", "12345.6789"},
	{"text", `forty bytes of text with a "quote" in it.`},
	{"json", `{"a" : [1, 2, {"b": "c"}]}`},
	{"jsonb", `{"a": [1, 2, {"b": "c"}]}`},
	{"date", "2026-01-01"},
	{"timestamp", "2026-01-01 10:00:00.123456"},
	{"timestamptz", "2026-01-01 10:00:00.123456+00"},
	{"uuid", "6d5c5a2e-1f6e-4a0e-9a3b-0f0a1c2d3e4f"},
	{"bytea", `\x00ff5c22`},
	{"int4[]", "{1,2,3,4}"},
	{"text[]", `{a,"b c","d\"e",NULL}`},
	{"item[]", `{"(1,\"a \"\"b\"\"\",\"{x,y}\")"}`},
}

func TestAppend_AllocatesNothing(t *testing.T) {
	dst := make([]byte, 0, 1024)
	for _, s := range samples {
		typ, text := builtin(s.typ), []byte(s.text)
		if n := testing.AllocsPerRun(100, func() { typ.Append(dst, text) }); n != 0 {
			t.Errorf("%s: %v allocations", s.typ, n)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, s := range samples {
		b.Run(s.typ, func(b *testing.B) {
			typ, text, dst := builtin(s.typ), []byte(s.text), make([]byte, 0, 1024)
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				typ.Append(dst, text)
			}
		})
	}
}
