package change_test

import (
	"testing"

	"freshet/shared/change"
)

func TestParseTable(t *testing.T) {
	for _, c := range []struct {
		text, schema, name, spelled, sql string
	}{
		{"products", "public", "products", "public.products", `"public"."products"`},
		{" Shop.Order_Lines2 ", "shop", "order_lines2", "shop.order_lines2", `"shop"."order_lines2"`},
		{`"My Shop"."a.b"`, "My Shop", "a.b", `"My Shop"."a.b"`, `"My Shop"."a.b"`},
		{`"say ""hi"""`, "public", `say "hi"`, `public."say ""hi"""`, `"public"."say ""hi"""`},
		{`x."Y"`, "x", "Y", `x."Y"`, `"x"."Y"`},
		{"ÜBER", "public", "Über", `public."Über"`, `"public"."Über"`}, // Ü is not folded in a UTF8 database
		{`"1st"`, "public", "1st", `public."1st"`, `"public"."1st"`},
		{"a$1", "public", "a$1", "public.a$1", `"public"."a$1"`},
		{`" "`, "public", " ", `public." "`, `"public"." "`},
	} {
		got, err := change.ParseTable(c.text)
		if got != (change.Table{Schema: c.schema, Name: c.name}) || err != nil || got.String() != c.spelled || got.SQL() != c.sql {
			t.Errorf("%s: got %#v, spelled %s, %s, %v", c.text, got, got, got.SQL(), err)
		}
	}
	for _, text := range []string{"", " ", ".", "a.", ".a", "a.b.c", `"a`, `""`, `a.""`, `"a"b`, `a"b"`, "a b", "a (x)", "a.b c"} {
		if got, err := change.ParseTable(text); err == nil {
			t.Errorf("%q: got %v", text, got)
		}
	}
}

func FuzzParseTable(f *testing.F) {
	for _, text := range []string{"products", `"My Shop"."a.b"`, `x."say ""hi"""`, "ÜBER", "\u00a0", "a\u2003.b"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		first, err := change.ParseTable(text)
		if err != nil {
			return
		}
		if second, err := change.ParseTable(first.String()); first != second || err != nil {
			t.Errorf("%q: got %#v, then %#v, %v", text, first, second, err)
		}
	})
}
