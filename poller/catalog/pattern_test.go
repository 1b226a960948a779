package catalog_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"freshet/poller/catalog"
)

func TestParsePatterns(t *testing.T) {
	for _, c := range []struct {
		text string
		want []catalog.Pattern
	}{
		{"products", []catalog.Pattern{{Schema: "public", Name: "products"}}},
		{" Products ,shop.Orders", []catalog.Pattern{{Schema: "public", Name: "products"}, {Schema: "shop", Name: "orders"}}},
		{`"My Schema"."x,y(""z"`, []catalog.Pattern{{Schema: "My Schema", Name: `x,y("z`}}},
		{"shop.*, \"My Schema\".*", []catalog.Pattern{{Schema: "shop", Any: true}, {Schema: "My Schema", Any: true}}},
		{"products WHERE (price > 10)", []catalog.Pattern{{Schema: "public", Name: "products", Where: "price > 10"}}},
		{"a where(x in (1, 2) and y = ')''('), b", []catalog.Pattern{
			{Schema: "public", Name: "a", Where: "x in (1, 2) and y = ')''('"}, {Schema: "public", Name: "b"}}},
		{"a\n\tWHERE\n(x),\nb", []catalog.Pattern{{Schema: "public", Name: "a", Where: "x"}, {Schema: "public", Name: "b"}}},
		{"shop.*, shop.orders WHERE (open)", []catalog.Pattern{{Schema: "shop", Any: true}, {Schema: "shop", Name: "orders", Where: "open"}}},
	} {
		got, err := catalog.ParsePatterns(c.text)
		if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", c.text, err, diff)
		}
	}
}

func TestParsePatterns_Refuses(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", "a name is missing"},
		{"a,,b", "a name is missing"},
		{"a,", "a name is missing"},
		{"a, public.a", "public.a is named twice"},
		{"a, a WHERE (x)", "public.a is named twice"},
		{"shop.*, shop.*", "shop.* is named twice"},
		{"*", "needs a schema before its star"},
		{"shop*", "needs a schema before its star"},
		{"a.b.*", "does not begin with the name of one schema"},
		{"a.b.c", "unexpected"},
		{`"a`, "opens a quote and does not close it"},
		{`""`, "a name is empty"},
		{"a WHERE x > 1", "must be in one pair of parentheses"},
		{"a WHERE (x) OR (y)", "must be in one pair of parentheses"},
		{"a WHERE", "must be in one pair of parentheses"},
		{"a WHERE ( )", "is empty"},
		{"a (x)", "only WHERE (...) may follow"},
		{"a b", "only WHERE (...) may follow"},
		{"a WHERE (x", "opens a parenthesis"},
		{"a WHERE x)", "closes a parenthesis"},
		{"a WHERE (x = 'y)", "opens a quote"},
		{"shop.* WHERE (x)", "has a condition for many tables"},
	} {
		if got, err := catalog.ParsePatterns(c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %v, %v, want %s", c.text, got, err, c.want)
		}
	}
}

// FuzzParsePatterns: what parses is spelled such that it parses to the same.
func FuzzParsePatterns(f *testing.F) {
	for _, text := range []string{"products,public.orders", `"My Schema"."x",shop.*`, "products WHERE (price > 10)", "a where (')')"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		first, err := catalog.ParsePatterns(text)
		if err != nil {
			return
		}
		spelled := make([]string, len(first))
		for i, p := range first {
			spelled[i] = p.String()
		}
		second, err := catalog.ParsePatterns(strings.Join(spelled, ","))
		if diff := cmp.Diff(first, second); diff != "" || err != nil {
			t.Errorf("%q: %q: %v\n%s", text, spelled, err, diff)
		}
	})
}
