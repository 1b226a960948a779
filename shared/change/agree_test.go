package change_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"freshet/shared/change"
)

// agree wants ParseBatch to take, to refuse and to say what the reference does. dirty is a batch used before.
func agree(t *testing.T, body []byte, dirty *change.Batch) {
	t.Helper()
	agreeInPieces(t, body, dirty)
	if rest, ok := bytes.CutPrefix(body, []byte(`{"messages"`)); ok {
		agreeInPieces(t, append([]byte(`{"fence":{"session":"s","seq":1},"messages"`), rest...), dirty)
	}
	want, wantErr := reference(bytes.Clone(body))
	got, err := change.ParseBatch(body)
	again := change.ParseBatchInto(dirty, body)
	switch {
	case (err == nil) != (wantErr == nil) || (again == nil) != (wantErr == nil):
		t.Fatalf("%.2000q: got %v and %v, want %v", body, err, again, wantErr)
	case wantErr != nil && strings.Contains(wantErr.Error(), "nested deeper"):
		// The reference looks for depth first, whatever stands before it.
	case wantErr != nil && (err.Error() != wantErr.Error() || again.Error() != wantErr.Error()):
		t.Fatalf("%.2000q: got %q and %q, want %q", body, err, again, wantErr)
	}
	keysAreRight(t, got.Messages)
	keysAreRight(t, dirty.Messages)
	change.Bare(got.Messages)
	change.Bare(dirty.Messages)
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%.2000q:\n got %+v\nwant %+v", body, got, want)
	}
	switch {
	case wantErr != nil && (len(dirty.Messages) > 0 || dirty.ID != "" || dirty.Fence != nil || dirty.Source != change.Source{}):
		t.Fatalf("%.2000q: after an error the batch is %+v", body, dirty)
	case slices.ContainsFunc(dirty.Messages[len(dirty.Messages):cap(dirty.Messages)], func(m change.Message) bool { return m.Action != "" || m.Record != "" || m.Metadata.Table != "" }):
		t.Fatalf("%.2000q: messages that were forgotten are still there", body)
	case wantErr == nil && !reflect.DeepEqual(*dirty, want):
		t.Fatalf("%.2000q:\n got %+v\nwant %+v in a batch that was used before", body, *dirty, want)
	}
}

// agreeInPieces wants a body in pieces to be the same as that body as a whole, where it can be read so.
func agreeInPieces(t *testing.T, body []byte, b *change.Batch) {
	t.Helper()
	var whole change.Batch
	broken, wrong := change.ParseBatchApart(&whole, body)
	for _, piece := range []int{1, 2, 64} {
		var got []change.Message
		handed := 0
		err := change.ParseInPieces(b, body, piece, func(some []change.Message) bool {
			if len(some) != piece {
				t.Fatalf("%.2000q: a piece of %d messages", body, len(some))
			}
			got, handed = append(got, some...), handed+1
			return true
		})
		twice := bytes.Count(body, []byte("messages")) > 1 || bytes.Contains(body, []byte(`\u`))
		switch {
		case (wrong != nil || len(broken) > 0) != (err != nil) && !(twice && err != nil):
			t.Fatalf("%.2000q in pieces of %d: %v; as a whole %v, and %d broken", body, piece, err, wrong, len(broken))
		case err != nil:
			if len(b.Messages) > 0 || b.Fence != nil {
				t.Fatalf("%.2000q: after an error the batch is %+v", body, b)
			}
			continue
		case b.Fence != nil && handed == 0 && len(whole.Messages) > piece && bytes.Index(body, []byte(`"fence"`)) < bytes.Index(body, []byte(`"messages"`)) && !twice:
			t.Fatalf("%.2000q: nothing was handed over of %d messages", body, len(whole.Messages))
		}
		rest := *b
		rest.Messages = append(got, b.Messages...)
		if !reflect.DeepEqual(rest.Messages, whole.Messages) && len(rest.Messages)+len(whole.Messages) > 0 {
			t.Fatalf("%.2000q:\n got %+v in pieces of %d\nwant %+v", body, rest.Messages, piece, whole.Messages)
		}
		if rest.Messages = whole.Messages; !reflect.DeepEqual(rest, whole) {
			t.Fatalf("%.2000q:\n got %+v in pieces of %d\nwant %+v", body, rest, piece, whole)
		}
		if slices.ContainsFunc(b.Messages[len(b.Messages):cap(b.Messages)], func(m change.Message) bool { return m.Record != "" || m.Metadata.Table != "" }) {
			t.Fatalf("%.2000q: messages that were handed over are still there", body)
		}
	}
}

// keysAreRight wants keys that were come upon to be those that are found by looking.
func keysAreRight(t *testing.T, messages []change.Message) {
	t.Helper()
	for i := range messages {
		m, want := &messages[i], ""
		key := m.Key()
		if key == "" {
			continue
		}
		gjson.Parse(m.Record).ForEach(func(name, value gjson.Result) bool {
			want = value.Raw
			return name.Str != m.Metadata.PrimaryKey[0]
		})
		if key != want {
			t.Fatalf("message %d, %+v: the key is %s, want %s", i, m, key, want)
		}
	}
}

// used is a batch that holds messages of another body.
func used(t testing.TB) *change.Batch {
	t.Helper()
	body, err := os.ReadFile(filepath.Join("testdata", "batch.json"))
	if err != nil {
		t.Fatal(err)
	}
	b := new(change.Batch)
	if err := change.ParseBatchInto(b, body); err != nil {
		t.Fatal(err)
	}
	return b
}

// The pieces of odd bodies. Every one of them is put wherever its kind belongs.
var (
	oddValues = []string{
		``, ` `, `null`, `nul`, `nulll`, `Null`, `true`, `tru`, `truE`, `false`, `falsE`, `nan`, `+1`, `0`, `-0`, `-`, `--1`, `01`, `-01`, `00`, `1e5`, `1E+5`, `1e-5`, `1e`, `1e+`, `.5`, `1.`, `1.5`,
		`1.e5`, `1.5e5`, `0.0`, `0e0`, `-1`, `4294967295`, `4294967296`, `9007199254740993`, `18446744073709551615`, `18446744073709551616`, `1e400`, `771 `, `0x10`, `1_0`, `7a`,
		`""`, `"`, `"a`, `"a"`, `'a'`, `"t\u0061ble"`, `"\u00e9\ud83d\ude00"`, `"\ud800"`, `"\udc00\ud800"`, `"\u12"`, `"\u12g4"`, `"\u123"`, `"\u123g"`, `"\u1234"`, `"\x"`, `"\`, `"\"`, `"\\"`, `"\/\b\f\n\r\t\""`, `"1234567\""`, `"12345678"`, `"1234567é"`,
		"\"a\x00\"", "\"1234567\x1f\"", "\"\t\"", "\"\x7f\x80\xff\"", "\"\xc3\"", "\"\xed\xa0\x80\"", `"a" "b"`, `"a"b`, `"7"`, `"-1"`, `"1e3"`, `"insert"`, `"\u0069nsert"`, `"truncate"`,
		`"0000001F"`, `"0000001f"`, `"000001F"`, `"0000001\u0046"`, `"0000001G"`,
		`"00000016B374D848-0000001F"`, `"00000016b374d848-0000001f"`, `"00000016B374D848-0000001\u0046"`, `"00000016B374D848-0000001"`, `"00000016B374D848_0000001F"`, `"00000016B374D84G-0000001F"`,
		`{}`, `{ }`, `{`, `}`, `{]`, `{,}`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{"a":1 "b":2}`, `{"a":1;"b":2}`, `{"a";1}`, `{"a":1,,"b":2}`, `{a:1}`, `{1:1}`, `{"a" : 1 , "b":[ ] }`, `{"a":{"a":{"a":[{}]}}}`, `{"a":1]`, `{"a\"}":"}"}`, `{} {}`,
		`{"a":1,"a":2}`, `{"\u0061":"\ud800"}`, `{"a":"\q"}`, "{\"a\":\"\n\"}", "{\n\t\"a\"\r\n: 1 }", "{\v}", "{\u00a0}", "{\"a\":1\x00}", `{"n":01}`, `{"n":-0.0e-0}`,
		`[]`, `[ ]`, `[`, `]`, `[}`, `[,]`, `[1,]`, `[1 2]`, `[1;2]`, `[1,,2]`, `["id"]`, `[ "id" , "b" ]`, `["i\u0064"]`, `["id",""]`, `["id",null]`, `["id"],`, `[["id"]]`, `[{"id":[]}]`, `[[[[]]]]`, `[[}]`, `[1}`,
		"\ufeff{}", "{}\ufeff", `{}//`, `/**/{}`,
	}
	oddMembers = []string{
		`"x":`, `"action":`, `"\u0061ction":`, `"record":`, `"changes":`, `"metadata":`, `"Metadata":`, `"meta\u0064ata":`, `"":`, `"rec\"ord":`, `"record" : `, `"record"`, `record:`, `"record\":`, "\"rec\nord\":",
		`"table_name":`, `"table_schema":`, `"commit_timestamp":`, `"position":`, `"primary_key":`, `"transaction_id":`, `"transaction\u005fid":`,
		`"id":`, `"source":`, `"fence":`, `"messages":`, `"message\u0073":`, `"ordinal":`, `"ordin\u0061l":`,
	}
)

// shorts are messages that leave out what the one before them says.
var shorts = []string{
	`{"record":{"id":2,"v":"a"},"ordinal":"0000001F"}`,
	`{"action":"update","record":{"id":2,"v":"a"},"ordinal":"0000001F"}`,
	`{"record":{"id":2,"v":"a"},"changes":{"id":1},"ordinal":"0000001F"}`,
	`{"action":"update","record":{"id":2,"v":"a"},"changes":null,"ordinal":"0000001F"}`,
}

// places are bodies with a place for a value, and one for a member with it.
func places() (values, members []string) {
	const (
		metadata = `{"table_schema":"public","table_name":"t","commit_timestamp":"2026-01-01T10:00:00.123456Z","position":"00000016B374D848-00000001","primary_key":["id"],"transaction_id":771}`
		message  = `{"action":"insert","record":{"id":1},"changes":null,"metadata":` + metadata + `}`
	)
	for _, short := range shorts {
		for _, field := range []string{`"update"`, `{"id":2,"v":"a"}`, `{"id":1}`, `"0000001F"`, `2`} {
			changed := strings.Replace(short, field, "%", 1)
			if changed == short {
				continue
			}
			values = append(values, `{"messages":[`+changed+`]}`, `{"messages":[`+message+","+changed+","+changed+","+short+`]}`, `{"messages":[`+message+","+short+","+short+","+changed+","+short+","+message+`]}`)
		}
		for _, at := range []string{`{"action"`, `{"record"`, `,"changes"`, `,"ordinal"`} {
			changed := strings.Replace(short, at, at[:1]+"%,"+at[1:], 1)
			members = append(members, `{"messages":[`+message+","+short+","+changed+`,`+message+`]}`, `{"messages":[`+message+","+changed+","+changed+","+short+`]}`)
		}
		members = append(members, `{"messages":[`+message+","+short+","+strings.TrimSuffix(short, "}")+`,%},`+short+`]}`)
	}
	values = append(values,
		`{"messages":[]};"x":%}`, `{"messages":[]%"x":1}`, `{"messages":[`+message+`%`+message+`]}`,
		`%`, ` % `, `{"messages":[`+message+`]}%`, `{"id":%,"messages":[]}`, `{"messages":%}`, `{"messages":[],"messages":%}`, `{"source":%,"messages":[]}`, `{"fence":%,"messages":[]}`,
		`{"fence":{"sink":%},"messages":[]}`, `{"fence":{"seq":%,"lane":%},"messages":[]}`, `{"source":{"system":"1"},"source":%,"messages":[]}`, `{"x":%,"messages":[]}`, `{"messages":[%]}`, `{"messages":[`+message+`,%]}`,
		`{"messages":[%,`+message+`]}`,
	)
	// The second of two messages is one whose metadata may be spelled as that before it.
	for _, field := range []string{
		`"insert"`, `{"id":1}`, `null`, metadata, `"public"`, `"t"`, `"2026-01-01T10:00:00.123456Z"`, `"00000016B374D848-00000001"`, `["id"]`, `"id"`, `771`,
	} {
		changed := strings.Replace(message, field, "%", 1)
		values = append(values, `{"messages":[`+changed+`]}`, `{"messages":[`+message+","+changed+`,`+message+`]}`, `{"messages":[`+changed+","+changed+`,`+message+`]}`)
	}
	for _, at := range []string{`{"action"`, `"record"`, `,"metadata"`, `{"table_schema"`, `"position"`, `,"primary_key"`, `"transaction_id"`, `"table_name"`} {
		brace := strings.TrimRight(at[:1], `"`) // what stands before the name
		changed := strings.Replace(message, at, brace+"%,"+strings.TrimLeft(at, "{,"), 1)
		members = append(members, `{"messages":[`+message+","+changed+`,`+message+`]}`, `{"messages":[`+changed+","+changed+`]}`, `{"messages":[`+changed+","+message+`]}`)
	}
	for _, behind := range []string{`771`, `771}`} {
		changed := strings.Replace(message, behind, behind+",%", 1)
		members = append(members, `{"messages":[`+message+","+changed+`,`+message+`]}`, `{"messages":[`+changed+","+changed+`]}`, `{"messages":[`+changed+","+message+`]}`)
	}
	members = append(members, `{%,"messages":[]}`, `{"messages":[`+message+`],%}`, `{"messages":[{%}]}`)
	return values, members
}

func TestParseBatch_AgreesOnOddBodies(t *testing.T) {
	values, members := places()
	dirty := used(t)
	for _, place := range values {
		for _, value := range oddValues {
			agree(t, []byte(strings.ReplaceAll(place, "%", value)), dirty)
		}
	}
	// Of so many combinations some must do.
	for i, place := range members {
		for j, member := range oddMembers {
			for k := (i + j) % 5; k < len(oddValues); k += 5 {
				agree(t, []byte(strings.ReplaceAll(place, "%", member+oddValues[k])), dirty)
			}
		}
	}
}

// Metadata is not read in full when it is spelled like metadata before it, so what is learned from the first message must be no more than it says.
func TestParseBatch_AgreesOnMetadataOfOneSpelling(t *testing.T) {
	const spelled = `{"table_schema":S,"table_name":"t","commit_timestamp":T,"position":P,"primary_key":["id"],"transaction_id":X}`
	type parts [4]string
	plain := parts{`"public"`, `"2026"`, `"00000016B374D848-00000001"`, `771`}
	dirty := used(t)
	for _, first := range []parts{plain, {plain[0], `null`, plain[2], `771`}, {plain[0], `""`, `null`, `771`}, {`null`, `"\u0041"`, `"00000016B374D848-0000000\u0031"`, `"771"`}, {plain[0], plain[1], plain[2], `771,"table_name":"u"`}} {
		for _, second := range []parts{
			plain, {plain[0], `nope"`, plain[2], `771`}, {plain[0], `"a\"`, plain[2], `771`}, {plain[0], "\"a\n\"", plain[2], `771`}, {plain[0], `"` + plain[1] + `"`, plain[2], `771`},
			{plain[0], plain[1], `n00000016B374D848-00000002l`, `771`}, {plain[0], `""`, `n00000016B374D848-00000002l`, `771`}, {plain[0], plain[1], `"00000016B374D848-00000002`, `771`}, {`null`, plain[1], plain[2], `771"`},
			{plain[0], plain[1], plain[2], ``}, {plain[0], plain[1], plain[2], `0`}, {plain[0], plain[1], plain[2], `0771`}, {plain[0], plain[1], plain[2], `4294967297`}, {plain[0], plain[1], plain[2], `99999999999`},
			{plain[0], plain[1], plain[2], `771,"table_name":"v"`}, {plain[0], plain[1], plain[2], `771,"position":null`}, {plain[0], plain[1], plain[2], `771]`}, {plain[0], plain[1], plain[2], `7.5`},
		} {
			var messages []string
			for _, p := range []parts{first, second, first, plain} {
				metadata := strings.NewReplacer("S", p[0], "T", p[1], "P", p[2], "X", p[3]).Replace(spelled)
				messages = append(messages, `{"action":"insert","record":{},"metadata":`+metadata+`}`)
			}
			agree(t, []byte(`{"messages":[`+strings.Join(messages, ",")+`]}`), dirty)
			agree(t, []byte(`{"messages":[`+strings.Join(messages[:2], ",")), dirty)
		}
	}
}

// A message is not read in full either when it is spelled like one before it.
func TestParseBatch_AgreesOnMessagesOfOneSpelling(t *testing.T) {
	type parts = [4]string
	plain := parts{`1`, `"a"`, `null`, `{"table_name":"t"}`}
	firsts := []parts{plain, {`null`, `[]`, `{"id":3}`, plain[3]}, {`{"a":[1]}`, `1 `, ` null`, `{"table_schema":"s","table_name":"t","commit_timestamp":"","position":"00000016B374D848-00000001","primary_key":[],"transaction_id":1}`}}
	agreeOnSpelling(t, ``, `{"action":"insert","record":{"id":A, "tags":B},"changes":C,"metadata":M}`, firsts)
	const whole = `{"action":"insert","record":{"id":0},"metadata":{"table_name":"t","primary_key":["id"]}},`
	for i := range firsts {
		firsts[i][3] = `"0000001F"`
	}
	for _, spelled := range []string{
		`{"record":{"id":A, "tags":B},"ordinal":M}`, `{"record":{"id":A, "tags":B},"changes":C,"ordinal":M}`, `{"action":"update","record":{"id":A, "tags":B},"ordinal":M}`, `{"record":{"id":A, "tags":B } , "ordinal" : M }`, `{"ordinal":M,"record":{"id":A, "tags":B}}`,
	} {
		agreeOnSpelling(t, whole, spelled, firsts)
	}
}

// agreeOnSpelling reads messages of one spelling with odd values for A, B, C and M, behind some that are like each of firsts.
func agreeOnSpelling(t *testing.T, before, spelled string, firsts [][4]string) {
	others := append([]string{`1,"id":2`, `1},"record":{"id":2`, `null,"x":1`, `null,"action":"delete"`, `null,"metadata":{"table_name":"u"}`, `null,"changes":{}`, `null,"record":{"id":3}`, `{"table_name":"u"},"x":1`, `{"table_name":"t"} `, `{"id":0}`, `[{"id":[1]}]`, `"0000001E","ordinal":"0000001D"`}, oddValues...)
	dirty := used(t)
	for _, first := range firsts {
		for place := range first {
			for _, value := range others {
				second := first
				second[place] = value
				var messages []string
				for _, p := range [][4]string{first, second, first, firsts[0], second} {
					messages = append(messages, strings.NewReplacer("A", p[0], "B", p[1], "C", p[2], "M", p[3]).Replace(spelled))
				}
				agree(t, []byte(`{"messages":[`+before+strings.Join(messages, ",")+`]}`), dirty)
				agree(t, []byte(`{"messages":[`+before+strings.Join(messages[:2], ",")), dirty)
			}
		}
	}
}

// TestParseBatch_AgreesOnDamage cuts a body short everywhere, and puts, replaces and leaves out bytes everywhere.
func TestParseBatch_AgreesOnDamage(t *testing.T) {
	body, err := (&change.Batch{ID: "x"}).AppendHead(nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range []sample{samples[2], samples[2], samples[3]} {
		if i > 0 {
			body = append(body, ',')
		}
		body = s.append(body)
	}
	body = change.AppendEnd(body)
	dirty := used(t)
	for i := range body {
		before, c, after := body[:i], body[i:i+1], body[i+1:]
		agree(t, before, dirty)
		agree(t, slices.Concat(before, after), dirty)
		for _, odd := range []byte("\x00\n \"\\{}],:0-\xff") {
			agree(t, slices.Concat(before, []byte{odd}, after), dirty)
			agree(t, slices.Concat(before, []byte{odd}, c, after), dirty)
		}
	}
}

// What stands before the messages is read by other means where it is spelled as a poller spells it.
func TestParseBatch_AgreesOnHeads(t *testing.T) {
	head, err := (&change.Batch{
		ID: "s/1/2", Source: change.Source{System: "74210", Timeline: 1, Database: "shop", Slot: "freshet"},
		Fence: &change.Fence{Sink: "main", Session: "s", Lane: 3, Seq: 42, After: []uint64{7, 0, 11}, Through: change.Position{Commit: 9, Ordinal: 5}, Seal: 0x16B3000},
	}).AppendHead(nil)
	if err != nil {
		t.Fatal(err)
	}
	body := change.AppendEnd(head)
	dirty := used(t)
	agree(t, body, dirty)
	for i := range body {
		for _, odd := range []string{"", "\x00", "\n", " ", `"`, `\`, "{", "}", "]", ",", ":", "0", "-", ".5", "e5", "a", "\xff", "\xc3\xa4", `\u0041`, "9999999999", `,"x":1`, `,"lane":2`, `,"system":"2"`} {
			agree(t, slices.Concat(body[:i], []byte(odd), body[i+1:]), dirty)
			agree(t, slices.Concat(body[:i], []byte(odd), body[i:]), dirty)
		}
	}
	for _, value := range []string{`"main"`, `"s"`, `3`, `42`, `7`, `11`, `[7,0,11]`, `"0000000000000009-00000005"`, `"0/16B3000"`, `"74210"`, `1`, `"shop"`, `"freshet"`} {
		if !strings.Contains(string(body), ":"+value) && !strings.Contains(string(body), value+"]") && !strings.Contains(string(body), "["+value) {
			t.Fatal("there is no", value)
		}
		for _, odd := range oddValues {
			agree(t, []byte(strings.Replace(string(body), value, odd, 1)), dirty)
		}
	}
}

func TestParseBatch_AgreesOnDepth(t *testing.T) {
	like := `{"messages":[` + strings.Repeat(`{"action":"read","record":{"a":1},"changes":null,"metadata":{"table_name":"t"}},`, 4)
	dirty := used(t)
	for _, c := range []struct{ open, opening, closing, end string }{
		{``, `[`, `]`, ``},
		{`{"messages":[],"x":`, `[`, `]`, `}`},
		{`{"messages":[],"x":`, `{"a":`, `}`, `}`},
		{`{"messages":[{"action":"read","record":{"a":`, `[`, `]`, `},"metadata":{"table_name":"t"}}]}`},
		{`{"messages":[{"action":"read","record":`, `{"a":`, `}`, `,"metadata":{"table_name":"t"}}]}`},
		{`{"messages":[{"action":"read","record":{},"metadata":{"table_name":"t","x":`, `[{"a":`, `}]`, `}}]}`},
		{like + `{"action":"read","record":{"a":`, `[`, `]`, `},"changes":null,"metadata":{"table_name":"t"}}]}`},
		{like + `{"action":"read","record":{"a":1},"changes":{"a":`, `{"a":`, `}`, `},"metadata":{"table_name":"t"}}]}`},
		{like + `{"action":"read","record":{"a":1},"changes":null,"metadata":{"table_name":"t","x":`, `[`, `]`, `}}]}`},
	} {
		around := strings.Count(c.open, "[") + strings.Count(c.open, "{") - strings.Count(c.open, "]") - strings.Count(c.open, "}")
		each := strings.Count(c.opening, "[") + strings.Count(c.opening, "{")
		for levels := maxDepth - 1; levels <= maxDepth+2; levels++ {
			n := (levels - around) / each
			body := []byte(c.open + strings.Repeat(c.opening, n) + `0` + strings.Repeat(c.closing, n) + c.end)
			agree(t, body, dirty)
			if _, err := change.ParseBatch(body); c.open != "" && (err == nil) != (around+n*each <= maxDepth) {
				t.Errorf("%s %d levels: got %v", c.open, around+n*each, err)
			}
		}
	}
}

func FuzzParseBatch(f *testing.F) {
	f.Add([]byte(`{"messages":[` + least + `]}`))
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		f.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	values, members := places()
	for _, place := range values {
		f.Add([]byte(strings.ReplaceAll(place, "%", `"\u00e9"`)))
	}
	for i, place := range members {
		for j, member := range oddMembers {
			f.Add([]byte(strings.ReplaceAll(place, "%", member+oddValues[(i*len(oddMembers)+j)%len(oddValues)])))
		}
	}
	dirty := used(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		agree(t, body, dirty)
		batch, err := change.ParseBatch(body)
		if err != nil {
			return
		}
		if !json.Valid(body) {
			t.Fatalf("%q is no JSON and was taken", body)
		}
		for _, m := range batch.Messages {
			if m.Action == "" || m.Metadata.Table == "" || m.Record != "" && !json.Valid([]byte(m.Record)) || m.Changes != "" && !json.Valid([]byte(m.Changes)) {
				t.Fatalf("%q: got %+v", body, m)
			}
		}
	})
}
