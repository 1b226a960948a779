package render_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"freshet/local/pgtest"
	"freshet/poller/render"
)

// The first and the last microsecond that Postgres knows, counted from 2000.
const firstMicro, lastMicro = -211_813_488_000_000_000, 9_223_371_331_200_000_000 - 1

// TestAppendBinary_IsAppend is the promise of the binary format: it makes no difference to what is written.
func TestAppendBinary_IsAppend(t *testing.T) {
	db := pgtest.New(t)
	db.Exec(unlike)
	conn := connect(t, db.DSN)
	const day, year = 86_400_000_000, 31_556_952_000_000
	micros := []int64{firstMicro, firstMicro + 1, lastMicro, lastMicro - 1, 0, 1, -1, 10, 100_000, -100_000, day, -day, day - 1, -day - 1, math.MaxInt64, math.MinInt64}
	for n := range int64(10_100) { // the beginning and the end of every February, and of every year, of some eras
		for _, y := range []int64{n - 6700, n*29 - 4000} {
			leap := (y*year + 60*day) / day * day
			micros = append(micros, y*year, y*year-1, leap, leap-day, leap-1, leap-2*day)
		}
	}
	for range 60_000 {
		micros = append(micros, firstMicro+rand.Int64N(-firstMicro+lastMicro/100), rand.Int64N(lastMicro), rand.Int64N(2*year*100)-year*100, rand.Int64N(60*year)/1000*1000)
	}
	for _, name := range []string{"timestamp", "timestamptz"} {
		var values [][]byte
		for _, m := range micros {
			if m == math.MaxInt64 || m == math.MinInt64 || m >= firstMicro && m <= lastMicro {
				values = append(values, binary.BigEndian.AppendUint64(nil, uint64(m)))
			}
		}
		for _, text := range hardTimestamps {
			values = append(values, conn.PgConn().ExecParams(t.Context(), fmt.Sprintf("SELECT %s::%s", literal(text), name), nil, nil, nil, []int16{pgx.BinaryFormatCode}).Read().Rows[0][0])
		}
		compareFormats(t, conn, name, values)
	}
}

// compareFormats has Postgres read values in binary format, one array for all, and write them as text.
func compareFormats(t *testing.T, conn *pgx.Conn, name string, values [][]byte) {
	typ := render.Builtin(map[string]uint32{"timestamp": 1114, "timestamptz": 1184}[name])
	array := []byte{0, 0, 0, 1, 0, 0, 0, 0}
	array = binary.BigEndian.AppendUint32(array, typ.OID)
	array = binary.BigEndian.AppendUint32(array, uint32(len(values)))
	array = binary.BigEndian.AppendUint32(array, 1)
	for _, v := range values {
		array = append(binary.BigEndian.AppendUint32(array, uint32(len(v))), v...)
	}
	result := conn.PgConn().ExecParams(t.Context(), "SELECT v FROM unnest($1::"+name+"[]) WITH ORDINALITY u (v, n) ORDER BY n", [][]byte{array}, nil, []int16{pgx.BinaryFormatCode}, nil).Read()
	if result.Err != nil || len(result.Rows) != len(values) {
		t.Fatal(result.Err, len(result.Rows))
	}
	for i, row := range result.Rows {
		want, _ := typ.Append([]byte("x"), row[0])
		if got, ok := typ.AppendBinary([]byte("x"), values[i]); string(got) != string(want) || !ok {
			t.Fatalf("%s %x: got %s, %v, want %s", name, values[i], got, ok, want)
		}
	}
}

func TestAppendBinary_RefusesWhatIsNotItsType(t *testing.T) {
	for _, c := range []struct {
		oid   uint32
		value string
	}{{1184, ""}, {1184, "1234567"}, {1114, "123456789"}, {25, "12345678"}} {
		if got, ok := render.Builtin(c.oid).AppendBinary(nil, []byte(c.value)); string(got) != "null" || ok {
			t.Errorf("%d %q: got %s, %v", c.oid, c.value, got, ok)
		}
	}
	if strings.Contains(fmt.Sprint(render.Builtin(25).HasBinary(), render.Builtin(1185).HasBinary(), render.Builtin(20).HasBinary()), "true") {
		t.Error("a type without a binary format of ours says that it has one")
	}
}

func BenchmarkTimestamp(b *testing.B) {
	typ, dst := render.Builtin(1184), make([]byte, 0, 64)
	b.Run("text", func(b *testing.B) {
		for b.Loop() {
			typ.Append(dst, []byte("2026-01-02 10:17:36+00"))
		}
	})
	b.Run("binary", func(b *testing.B) {
		value := binary.BigEndian.AppendUint64(nil, 820_664_256_000_000)
		for b.Loop() {
			typ.AppendBinary(dst, value)
		}
	})
}
