package config_test

import (
	"testing"

	"freshet/shared/config"
)

func TestBytes(t *testing.T) {
	for text, want := range map[string]config.Bytes{
		"16777216": 16 << 20, "16MiB": 16 << 20, "16 mib": 16 << 20, "1.5k": 1536, "2GB": 2e9, "500kb": 500_000, "7b": 7,
		"": -1, "MiB": -1, "-1": -1, "16XB": -1, "1e999": -1, "9999999999999GiB": -1, "0x10": -1,
	} {
		got := config.Bytes(-1)
		if err := got.Decode(text); (err != nil) != (want == -1) || got != want {
			t.Errorf("%q: got %d %v, want %d", text, got, err, want)
		}
	}
}

func TestBytes_String(t *testing.T) {
	for size, want := range map[config.Bytes]string{
		0: "0 B", 1023: "1023 B", 1024: "1 KiB", 1536: "1.5 KiB", 64 << 20: "64 MiB", 4 << 30: "4 GiB", 9<<40 + 100<<30: "9.1 TiB", -1: "-1 B", -16 << 20: "-16 MiB",
	} {
		if got := size.String(); got != want {
			t.Errorf("%d: got %q, want %q", int64(size), got, want)
		}
	}
}
