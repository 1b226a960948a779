//go:build !amd64 && !arm64

package change

import "encoding/binary"

// load is the same where the order of bytes, or loads from any address, are not to be counted on.
func load(body []byte, i int) uint64 { return binary.LittleEndian.Uint64(body[i:]) }
