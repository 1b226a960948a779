package change_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"freshet/shared/change"
)

const least = `{"action":"insert","record":{},"metadata":{"table_name":"t"}}`

func TestParseBatch_ALittleIsEnough(t *testing.T) {
	got, err := change.ParseBatch([]byte(` {"messages": [` + least + `], "unknown": [1], "fence": null} `))
	want := change.Batch{Messages: []change.Message{{Action: change.Insert, Record: "{}", Metadata: change.Metadata{Schema: "public", Table: "t"}}}}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(change.Message{})); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
}

func TestParseBatch_KeepsEveryByteOfARecord(t *testing.T) {
	record := `{ "n" : 1e400, "big":12345678901234567890.10 ,"s":"\ud800 \u0041","n":2}`
	got, err := change.ParseBatch([]byte(`{"messages":[{"metadata":{"table_name":"t"},"record":` + record + `,"action":"update","changes":` + record + `}]}`))
	if err != nil || got.Messages[0].Record != record || got.Messages[0].Changes != record {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestParseBatch_Refuses(t *testing.T) {
	message := func(text string) string { return `{"messages":[` + least + `,` + text + `]}` }
	for _, c := range []struct{ body, want string }{
		{``, "not valid JSON"},
		{`{"messages":[]`, "not valid JSON"},
		{`{"messages":[]} x`, "not valid JSON"},
		{`[]`, "not a JSON object"},
		{`null`, "not a JSON object"},
		{`{}`, `"messages" is missing`},
		{`{"messages":{}}`, `"messages" is not an array`},
		{`{"id":1,"messages":[]}`, `"id" is not a string`},
		{`{"source":[],"messages":[]}`, `"source"`},
		{`{"fence":{"seal":"x"},"messages":[]}`, `"x" is not an LSN`},
		{`{"fence":{"through":"0-0"},"messages":[]}`, `is not a position`},
		{`{"fence":{"lane":1.5},"messages":[]}`, `"fence"`},
		{`{"fence":{"seq":-1},"messages":[]}`, `"fence"`},
		{message(`1`), "message 1: not a JSON object"},
		{message(`{}`), `message 1: the member "action" is missing`},
		{message(`{"action":"upsert"}`), `action "upsert" is not one of`},
		{message(`{"action":7}`), `action "" is not one of`},
		{message(`{"action":"insert"}`), `"metadata.table_name" is missing`},
		{message(`{"action":"insert","metadata":[]}`), `"metadata" is not an object`},
		{message(`{"action":"insert","metadata":{"table_name":1}}`), `"table_name" is not a string`},
		{message(`{"action":"insert","metadata":{"table_name":"t"}}`), `"record" is missing`},
		{message(`{"action":"insert","record":null,"metadata":{"table_name":"t"}}`), `"record" is missing`},
		{message(`{"action":"insert","record":[],"metadata":{"table_name":"t"}}`), `"record" is not an object`},
		{message(`{"action":"insert","record":{},"changes":1,"metadata":{"table_name":"t"}}`), `"changes" is not an object`},
		{message(`{"action":"insert","record":{},"metadata":{"table_name":"t","position":"7"}}`), `"7" is not a position`},
		{message(`{"action":"insert","record":{},"metadata":{"table_name":"t","primary_key":"id"}}`), `"primary_key" is not an array`},
		{message(`{"action":"insert","record":{},"metadata":{"table_name":"t","primary_key":[1]}}`), `"primary_key" is not an array`},
	} {
		if got, err := change.ParseBatch([]byte(c.body)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %+v, %v, want %s", c.body, got, err, c.want)
		}
	}
}

// A body of brackets would exhaust the stack of a reader that calls itself, and with it end the process.
func TestParseBatch_RefusesEndlessNesting(t *testing.T) {
	open := `{"messages":[{"action":"read","metadata":{"table_name":"t"},"record":{"a":`
	for _, c := range []struct {
		depth int
		fine  bool
	}{{90_000, true}, {16 << 20, false}} {
		body := open + strings.Repeat("[", c.depth) + strings.Repeat("]", c.depth) + "}}]}"
		if _, err := change.ParseBatch([]byte(body)); (err == nil) != c.fine {
			t.Errorf("%d levels: got %v", c.depth, err)
		}
	}
	wide := open + `["` + strings.Repeat(`[{\"`, 200_000) + `"` + strings.Repeat(",[]", 200_000) + "]}}]}"
	if _, err := change.ParseBatch([]byte(wide)); err != nil {
		t.Errorf("many brackets side by side: %v", err)
	}
}

func TestParseBatch_ManyMessagesAreNoNesting(t *testing.T) {
	for _, one := range []string{strings.Replace(least, `"metadata"`, `"changes":null,"metadata"`, 1), `{"record":{"a":[]},"ordinal":"0000001F"}`, `{"record":{"a":[]},"changes":{},"ordinal":"0000001F"}`, `{"record":{},"ordinal":"0000001F"}`} {
		const n = 100_010
		b, err := change.ParseBatch([]byte(`{"messages":[` + least + strings.Repeat(","+one, n) + `]}`))
		if err != nil || len(b.Messages) != 1+n {
			t.Errorf("%s: %d messages, %v", one, len(b.Messages), err)
		}
	}
}

// A batch costs a few allocations, whatever the number of its messages, and about as much memory as they need.
func TestParseBatchInto_AllocatesNothingPerMessage(t *testing.T) {
	one, mixed := benchBody("items"), benchBody("items", "orders", "order_lines")
	b, err := change.ParseBatch(one)
	if n := cap(b.Messages); err != nil || len(b.Messages) != benchRows || n > benchRows*5/4 {
		t.Errorf("got room for %d messages, %v", n, err)
	}
	for _, body := range [][]byte{one, mixed} {
		allocs := testing.AllocsPerRun(10, func() {
			if err := change.ParseBatchInto(&b, body); err != nil {
				t.Error(err)
			}
		})
		if allocs > 50 {
			t.Errorf("got %v allocations for %d messages", allocs, benchRows)
		}
	}
}

func TestParseBatch_MakesNoRoomForWhatIsNotSent(t *testing.T) {
	long := strings.Replace(least, "{}", `{"a":"`+strings.Repeat("x", 16<<20)+`"}`, 1)
	b, err := change.ParseBatch([]byte(`{"messages":[` + least + `,` + long + `]}`))
	if n := cap(b.Messages); err != nil || n > 2048 {
		t.Errorf("got room for %d messages, %v", n, err)
	}
}

func TestParseAction(t *testing.T) {
	for _, a := range []change.Action{change.Insert, change.Update, change.Delete, change.Read, change.Truncate} {
		if got, err := change.ParseAction(string(a)); got != a || err != nil {
			t.Errorf("got %v, %v, want %v", got, err, a)
		}
	}
	if got, err := change.ParseAction("Insert"); err == nil {
		t.Errorf("got %v", got)
	}
}

// A short message is like the one before it, and like no other.
func TestParseBatchApart_ShortMessagesFollowTheirOwn(t *testing.T) {
	const (
		of    = `{"action":"read","record":{"id":1},"changes":null,"metadata":{"table_name":"%","commit_timestamp":"2026","position":"00000016B374D848-00000001","primary_key":["id"],"transaction_id":771}}`
		short = `{"record":{"id":2},"ordinal":"0000001F"}`
		other = `{"action":"delete","record":{"id":3},"ordinal":"00000020"}`
	)
	t1, t2, broken := strings.Replace(of, "%", "t", 1), strings.Replace(of, "%", "u", 1), strings.Replace(of, `"read"`, `"red"`, 1)
	var b change.Batch
	apart, err := change.ParseBatchApart(&b, []byte(`{"messages":[`+strings.Join([]string{short, t1, short, short, other, short, broken, short, short, t2, short, short, short, t1, short}, ",")+`]}`))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range b.Messages {
		got = append(got, fmt.Sprintf("%s %s %s %d %s", m.Action, m.Metadata.Table, m.Record, m.Metadata.Position.Ordinal, m.Key()))
		if at := m.Metadata.Position.Commit; at != 0x16B374D848 || m.Metadata.TransactionID != 771 || m.Metadata.CommitTimestamp != "2026" {
			t.Errorf("got %+v", m)
		}
	}
	want := []string{
		`read t {"id":1} 1 `, `read t {"id":2} 31 `, `read t {"id":2} 31 2`, `delete t {"id":3} 32 `, `delete t {"id":2} 31 2`,
		`read u {"id":1} 1 1`, `read u {"id":2} 31 2`, `read u {"id":2} 31 2`, `read u {"id":2} 31 2`, `read t {"id":1} 1 1`, `read t {"id":2} 31 2`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if len(apart) != 4 || !strings.Contains(apart[0].Err.Error(), "message 0") || !strings.Contains(apart[2].Err.Error(), "message 7: it has an \"ordinal\"") {
		t.Errorf("broken: %+v", apart)
	}
}

// A key is come upon where a message is spelled like one before it. It is no more than what looking for it would find.
func TestMessage_Key(t *testing.T) {
	const (
		row      = `{"action":"read","record":{"a":1,"\u0069d":"x\"y","id":3,"n":{}},"changes":null,"metadata":{"table_name":"t","primary_key":["id"]}}`
		rekeyed  = `{"action":"read","record":{"a":1,"\u0069d":"x\"y","id":3,"n":{}},"changes":null,"metadata":{"table_name":"t","primary_key":["a"]}}`
		compound = `{"action":"read","record":{"a":1,"\u0069d":"x\"y","id":3,"n":{}},"changes":null,"metadata":{"table_name":"t","primary_key":["id","a"]}}`
		keyless  = `{"action":"read","record":{"a":1,"\u0069d":"x\"y","id":3,"n":{}},"changes":null,"metadata":{"table_name":"t","primary_key":[]}}`
	)
	b, err := change.ParseBatch([]byte(`{"messages":[` + strings.Join([]string{row, row, rekeyed, compound, keyless, row}, ",") + `]}`))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"", `"x\"y"`, "", "", "", ""} { // that the last has none is no more than a pity
		if got := b.Messages[i].Key(); got != want {
			t.Errorf("message %d: got %q, want %q", i, got, want)
		}
	}
	for name, edit := range map[string]func(m *change.Message){
		"record": func(m *change.Message) { m.Record = `{"id":4}` },
		"none":   func(m *change.Message) { m.Record = "" },
		"column": func(m *change.Message) { m.Metadata.PrimaryKey = []string{"a"} },
	} {
		m := b.Messages[1]
		if edit(&m); m.Key() != "" {
			t.Errorf("with another %s the key is still %q", name, m.Key())
		}
	}
}

// However many messages of one transaction lack the same, each of them is broken.
func TestParseBatchApart_FindsEachOfManyAlike(t *testing.T) {
	const (
		whole    = `{"action":"read","record":{"id":1},"changes":null,"metadata":{"table_name":"t","commit_timestamp":"2026","position":"00000016B374D848-00000001","transaction_id":771}}`
		nameless = `{"action":"read","record":{"id":1},"changes":null,"metadata":{"commit_timestamp":"2026","position":"00000016B374D848-00000001","transaction_id":771}}`
	)
	var b change.Batch
	for _, one := range []string{nameless, strings.Replace(whole, "{\"id\":1}", "7", 1), strings.Replace(whole, "null", "7", 1), strings.Replace(whole, "D848", "D84g", 1)} {
		all := strings.Repeat(whole+",", 4) + strings.Repeat(one+",", 5) + whole
		broken, err := change.ParseBatchApart(&b, []byte(`{"messages":[`+all+`]}`))
		if err != nil || len(broken) != 5 || len(b.Messages) != 5 {
			t.Errorf("of 5 times %s: %d broken, %d not, %v", one, len(broken), len(b.Messages), err)
		}
	}
}

// A batch is handed over in pieces only where its beginning has told what has to be known, and never where something further on takes it back.
func TestParseBatchInPieces(t *testing.T) {
	const fence, other = `"fence":{"session":"s","seq":7}`, `"fence":{"session":"t","seq":8}`
	message := func(n int) string {
		return fmt.Sprintf(`{"action":"read","record":{"id":%d},"metadata":{"table_name":"t"}}`, n)
	}
	list := `"messages":[` + message(1) + `,` + message(2) + `,` + message(3) + `]`
	broken := `"messages":[` + message(1) + `,` + message(2) + `,{"action":"odd"}]`
	for _, c := range []struct {
		name, body string
		handed     int // in pieces of one
		session    string
		fails      bool
	}{
		{"with a fence", `{` + fence + `,` + list + `}`, 2, "s", false},
		{"without one", `{` + list + `}`, 0, "", false},
		{"with a fence of null", `{"fence":null,` + list + `}`, 0, "", false},
		{"with a fence behind", `{` + list + `,` + fence + `}`, 0, "s", false},
		{"with another fence behind", `{` + fence + `,` + list + `,` + other + `}`, 2, "t", false},
		{"twice", `{` + fence + `,` + list + `,` + list + `}`, 2, "", true},
		{"once, and then none", `{` + fence + `,` + list + `,"messages":[]}`, 2, "", true},
		{"first a single one", `{` + fence + `,"messages":[` + message(9) + `],` + list + `}`, 2, "s", false},
		{"with a message that cannot be read", `{` + fence + `,` + broken + `}`, 2, "", true},
		{"cut short", `{` + fence + `,` + list, 2, "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b change.Batch
			handed := 0
			err := change.ParseInPieces(&b, []byte(c.body), 1, func([]change.Message) bool { handed++; return true })
			if (err != nil) != c.fails || handed != c.handed {
				t.Errorf("%d were handed over, then %v", handed, err)
			}
			session := ""
			if b.Fence != nil {
				session = b.Fence.Session
			}
			if session != c.session || err == nil && handed+len(b.Messages) != 3 || err != nil && len(b.Messages) > 0 {
				t.Errorf("got %+v", b)
			}
		})
	}
	var b change.Batch
	asked := 0
	err := change.ParseInPieces(&b, []byte(`{`+fence+`,`+list+`}`), 1, func([]change.Message) bool { asked++; return false })
	if err == nil || asked != 1 || len(b.Messages) > 0 {
		t.Errorf("who refused was asked %d times; %v, %+v", asked, err, b)
	}
}
