package render

import "maps"

var pin = map[string]string{
	"client_encoding":    "UTF8",
	"DateStyle":          "ISO, YMD",
	"IntervalStyle":      "postgres",
	"TimeZone":           "UTC",
	"extra_float_digits": "1",
	"bytea_output":       "hex",
}

// Pin returns the settings that a session must have for this package to understand its values, as parameters of the
// connection's start. Every connection that reads rows, replication or not, needs them: what a role or a
// database sets for itself would otherwise show in the values.
func Pin() map[string]string { return maps.Clone(pin) }
