package change_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"freshet/shared/change"
)

// A message that was read is written again as the poller had written it.
func TestMessage_AppendWritesWhatWasRead(t *testing.T) {
	for _, s := range samples {
		m := s.message()
		if got, want := string(m.Append(nil)), string(s.append(nil)); got != want {
			t.Errorf("%s:\n got %s\nwant %s", s.name, got, want)
		}
	}
}

func TestMessage_Reduced(t *testing.T) {
	m := change.Message{
		Action: change.Update, Record: `{"b":"x\u0041", "body":"very long","a\"":12345678901234567890.10}`, Changes: `{"body":"long"}`,
		Metadata: change.Metadata{Schema: "public", Table: "papers", CommitTimestamp: "2026-01-01T10:00:00.123456Z", Position: change.Position{Commit: 0x16B374D848, Ordinal: 1}, PrimaryKey: []string{`a"`, "b"}, TransactionID: 771},
	}
	r := m.Reduced("too large: 20000000 bytes")
	body := r.Append(nil)
	golden(t, "parked", body)
	b, err := change.ParseBatch([]byte(`{"messages":[` + string(body) + `]}`))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r, b.Messages[0], cmpopts.IgnoreUnexported(change.Message{})); diff != "" {
		t.Errorf("-written +read:\n%s", diff)
	}
}

func TestParseBatchApart_LeavesTheRestOfABatchAlone(t *testing.T) {
	var b change.Batch
	broken, err := change.ParseBatchApart(&b, []byte(`{"messages":[{"action":"upsert"},`+least+`,7]}`))
	if err != nil || len(b.Messages) != 1 || len(broken) != 2 {
		t.Fatalf("got %+v, %+v, %v", b, broken, err)
	}
	if broken[0].Raw != `{"action":"upsert"}` || broken[1].Raw != "7" || broken[1].Err.Error() != "message 2: not a JSON object" {
		t.Errorf("got %+v", broken)
	}
	if _, err := change.ParseBatchApart(&b, []byte(`{"messages":[`)); err == nil {
		t.Error("what is no JSON has no messages")
	}
}
