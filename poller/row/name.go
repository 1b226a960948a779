package row

import "freshet/shared/change"

// name is what stands before a column's value: `,"id":`.
type name struct {
	text  []byte
	whole [shortName]byte // the same, if it is short
}

// shortName is more than most names take. Copying so many bytes at once takes less than a copy that looks at the length.
const shortName = 32

func newName(column string) name {
	n := name{text: append(change.AppendString([]byte{','}, []byte(column)), ':')}
	copy(n.whole[:], n.text)
	return n
}

func (n *name) append(dst []byte) []byte {
	free := dst[len(dst):cap(dst)]
	if len(n.text) > shortName || len(free) < shortName {
		return append(dst, n.text...)
	}
	*(*[shortName]byte)(free) = n.whole
	return dst[:len(dst)+len(n.text)]
}
