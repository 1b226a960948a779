package rules_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

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

// led spells what one key leads to: "table text", with no text where no row can have it.
func led(v *rules.Inverter, key string) string {
	switch found, irreversible := v.Find([]string{key}); {
	case irreversible == 1 && len(found) == 0:
		return "irreversible"
	case len(found) == 0:
		return "none"
	case len(found) == 1 && len(found[0].Strange) == 1 && string(found[0].Strange[0]) == key && len(found[0].PrimaryKeys) == 0:
		return found[0].Table + " "
	case len(found) == 1 && len(found[0].Strange) == 0 && len(found[0].PrimaryKeys) == 1 && string(found[0].Key(found[0].PrimaryKeys[0])) == key:
		return found[0].Table + " " + found[0].PrimaryKeys[0]
	default:
		return fmt.Sprintf("%+v %d", found, irreversible)
	}
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
		if got := led(inverter(t, c.template, "t", "tt", "s"), c.key); got != c.want {
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
	for key, want := range map[string]string{"a:1": "public.t 1", "b:1:2": "irreversible", "u:1:7-8": "public.u 7-8", "u:2:7-8:": "public.u 7-8", "u:2:7-8": "public.u ", "u:3:7": "none"} {
		if got := led(v, key); got != want {
			t.Errorf("%s: got %q, want %q", key, got, want)
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
	if got := led(inverter(t, "k:{table_name}:{primary_key}"), "k:t:1"); got != "none" {
		t.Errorf("of no table: a key is %q", got)
	}
}

// What was found comes out of an answer as the keys that they are, byte for byte, and each as often as it went in.
func TestInverter_NothingIsLostOnTheWay(t *testing.T) {
	config := defaults()
	config.Rules = `[{"table":"t","key":"a<é:{primary_key}"},{"table":"t","key":"b:{record.x}:{primary_key}"},{"table":"u","key":"u\"1:{primary_key}&{primary_key}:"},{"table":"u","key":"u:2:{primary_key}"}]`
	shape := func(name string) exchange.TableShape {
		return exchange.TableShape{Schema: "public", Name: name, PrimaryKey: []string{"id"}, OldColumns: []string{"x"}}
	}
	v, err := compile(t, config).Inverter([]exchange.TableShape{shape("t"), shape("u")})
	if err != nil {
		t.Fatal(err)
	}
	text := rapid.OneOf(rapid.Just(""), rapid.String(), rapid.Map(rapid.SliceOfN(rapid.Byte(), 1, 4), func(b []byte) string { return string(b) }), rapid.SampledFrom([]string{"7", "<&>\u2028", `"\`, "\x00\n", "\ufffd"}))
	rapid.Check(t, func(t *rapid.T) {
		var keys, want []string
		irreversible := 0
		for range rapid.IntRange(0, 20).Draw(t, "keys") {
			key, some := text.Draw(t, "text"), text.Draw(t, "some")
			switch rapid.IntRange(0, 5).Draw(t, "kind") {
			case 0:
				key = "a<é:" + key
			case 1:
				key = "u:2:" + key
			case 2:
				key = `u"1:` + key + "&" + key + ":"
			case 3:
				key = `u"1:` + key + some
			case 4:
				irreversible++
				keys = append(keys, "b:"+key)
				continue
			default:
				keys = append(keys, "-"+key)
				continue
			}
			keys, want = append(keys, key), append(want, key)
		}
		found, unknown := v.Find(keys)
		sent, err := json.Marshal(found)
		if err != nil || len(sent) == 0 || sent[0] != '[' {
			t.Fatalf("%s, %v", sent, err)
		}
		var came []exchange.FoundKeys
		if err := json.Unmarshal(sent, &came); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range came {
			for _, text := range f.PrimaryKeys {
				got = append(got, string(f.Key(text)))
			}
			for _, key := range f.Strange {
				got = append(got, string(key))
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) || unknown != irreversible {
			t.Errorf("got %q and %d more, want %q and %d", got, unknown, want, irreversible)
		}
	})
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
		if got := led(v, made(text)); got != "public.t "+text {
			t.Errorf("%s: %q led back to %q, want %q", template, made(text), got, text)
		}
		if text, ours := strings.CutPrefix(led(v, key), "public.t "); ours && text != "" && made(text) != key {
			t.Errorf("%s: %q led to %q, whose key is %q", template, key, text, made(text))
		}
	})
}
