package rules

import (
	"testing"

	"github.com/tidwall/gjson"
)

// Picking columns makes no difference but the time: the bytes are gjson's.
func FuzzPick(f *testing.F) {
	for _, path := range []string{
		"record.{id}", "record.{name,id}", `record.{name,"n":id,price}`, `record.{"id":name,"name":id}`, "record.{nothing}", "record.{id,nothing,name}", `record.{"a":id,"a":name}`,
		"record.{a,b,c,d,e,f,g,h,i,id}", "record.{id,id}", "record.{ id}", "record.{}", "record.{id,}", "record.{id.name}", `record.{"n" :id}`, "record.{name}.name", "record.{true,null}",
		"record.{id,name,price}", `record.{id,"name":name,"price":price}`,
	} {
		for _, record := range []string{
			`{"id":1,"name":"n","price":1.50,"price":2}`, `{"id":1,"name":"a\"b","price":{"a":[1,"}"]}}`, `{"id":1,"name":"n","price":1.50 }`, `{"id":1,"name":"n"}`, `{"id":"}","name":"n","price":null}`,
			`{"id":1,"name":"n","price":1.50}`, `{"name":null,"id":9007199254740993}`, `{}`, `{"id":{"id":2},"name":[1, 2 ]}`, `{ "id" : 1 , "name" : "\u00e9\"" }`,
			`{"i\u0064":1,"name":""}`, `{"id":1,"id":2}`, `{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8,"i":9,"id":10}`, `{"true":true,"null":false}`,
		} {
			f.Add(path, record)
		}
	}
	f.Fuzz(func(t *testing.T, path, record string) {
		p := parsePick(path)
		if p == nil || !gjson.Valid(record) || record[0] != '{' {
			return
		}
		want := gjson.Get(`{"record":`+record+`}`, path)
		if got := p.of(record); got != want.Raw {
			t.Errorf("%s of %s is %s, gjson has %s", path, record, got, want.Raw)
		}
	})
}

func TestPick_IsFound(t *testing.T) {
	for path, want := range map[string]bool{
		"record.{id,sku,name,price}": true, `record.{name,"stock":inventory_count}`: true, "record.{id.x}": false, "changes.{id}": false, "record.{id,id}": false, "record": false, "{": false,
	} {
		if got := parsePick(path) != nil; got != want {
			t.Errorf("%s: picked %v, want %v", path, got, want)
		}
	}
}
