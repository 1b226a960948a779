package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Bytes is a size: a plain number of bytes, or one with a unit such as 16MiB, 500k or 1GB.
type Bytes int64

var units = map[string]float64{
	"": 1, "b": 1,
	"k": 1 << 10, "ki": 1 << 10, "kib": 1 << 10, "kb": 1e3,
	"m": 1 << 20, "mi": 1 << 20, "mib": 1 << 20, "mb": 1e6,
	"g": 1 << 30, "gi": 1 << 30, "gib": 1 << 30, "gb": 1e9,
}

// Decode reads the text.
func (b *Bytes) Decode(text string) error {
	text = strings.TrimSpace(text)
	digits := strings.TrimRight(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
	unit, known := units[strings.ToLower(strings.TrimSpace(text[len(digits):]))]
	n, err := strconv.ParseFloat(digits, 64)
	if err != nil || !known || n < 0 || n*unit >= math.MaxInt64 {
		return fmt.Errorf("%q is not a size such as 16MiB", text)
	}
	*b = Bytes(n * unit)
	return nil
}

// String is the size for people, in the largest unit that leaves at least 1: 4 GiB, 1.5 MiB, 512 B.
func (b Bytes) String() string {
	const step = 1 << 10
	if b > -step && b < step {
		return fmt.Sprintf("%d B", int64(b))
	}
	size, unit := float64(b), -1
	for (size >= step || size <= -step) && unit < len("KMGTPE")-1 {
		size, unit = size/step, unit+1
	}
	return fmt.Sprintf("%s %ciB", strings.TrimSuffix(strconv.FormatFloat(size, 'f', 1, 64), ".0"), "KMGTPE"[unit])
}
