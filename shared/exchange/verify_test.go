package exchange_test

import (
	"encoding/json"
	"strconv"
	"testing"

	"freshet/shared/exchange"
)

// BenchmarkScanResponse is an answer of as many keys as the poller asks for at a time.
func BenchmarkScanResponse(b *testing.B) {
	f := exchange.FoundKeys{Table: "public.items", Around: []string{"sequin:items:", ""}}
	for i := range 2000 {
		f.PrimaryKeys = append(f.PrimaryKeys, strconv.Itoa(i*197%500_000))
	}
	r := exchange.ScanResponse{Cursor: "1234@0123456789abcdef0123456789abcdef01234567", Keys: []exchange.FoundKeys{f}, Rules: "0123456789abcdef"}
	text, err := json.Marshal(r)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("write", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			if _, err := json.Marshal(r); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			var into exchange.ScanResponse
			if err := json.Unmarshal(text, &into); err != nil || len(into.Keys[0].PrimaryKeys) != 2000 {
				b.Fatal(err)
			}
		}
	})
}
