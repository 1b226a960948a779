package effect

// Standing is how a key stands to the write that it should be the outcome of.
type Standing int8

// The standings.
const (
	Match   Standing = iota // the value is there, or nothing is where nothing should be
	Missing                 // nothing is there
	Stale                   // something else is there
	Orphan                  // something is there where nothing should be
	Absent                  // nothing is there, which may be right, since the key expires
)
