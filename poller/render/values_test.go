package render_test

// hardValues are the values that each built-in type is tested with, as its input function reads them.
var hardValues = map[string][]string{
	"bool":          {"t", "f"},
	"int2":          {"0", "-32768", "32767"},
	"int4":          {"0", "-2147483648", "2147483647"},
	"int8":          {"9223372036854775807", "-9223372036854775808", "9007199254740993"},
	"float4":        {"0", "-0", "1e-45", "3.4028235e38", "NaN", "Infinity", "-Infinity", "0.1", "1e20", "123456"},
	"float8":        {"0", "-0", "1e-320", "5e-324", "1.7976931348623157e308", "NaN", "Infinity", "-Infinity", "0.1", "1e15", "1e16", "-1.5e-7"},
	"numeric":       {"0", "0.00", "-0.10", "1.50", hundredDigits, "-" + hundredDigits + "." + hundredDigits, "NaN", "Infinity", "-Infinity", "1e-30", "1e30"},
	"money":         {"0", "-12.34", "1234567.89"},
	"oid":           {"0", "4294967295"},
	"xid":           {"0", "4294967295"},
	"xid8":          {"0", "18446744073709551615"},
	"cid":           {"0", "4294967295"},
	"tid":           {"(0,1)", "(4294967295,65535)"},
	"text":          hardText,
	"varchar":       hardText,
	"bpchar":        hardText,
	"name":          {"", "x", `a"b\c`, "NULL", "{,}", "ünïcode 😀"},
	`"char"`:        {"x", "", `"`, `\`, ",", "{", " "},
	"refcursor":     hardText,
	"bytea":         {"", `\x00ff5c22`, `\xdeadbeef`, `\x5c78`},
	"uuid":          {"00000000-0000-0000-0000-000000000000", "6d5c5a2e-1f6e-4a0e-9a3b-0f0a1c2d3e4f"},
	"json":          hardJSON,
	"jsonb":         hardJSONB,
	"jsonpath":      {"$", `$."a b"[*] ? (@.x > 1 && @.y like_regex "^\"q")`},
	"xml":           {"<a/>", `<a b="c">text &amp; "more"` + "\n</a>"},
	"date":          {"2026-01-01", "0044-03-15 BC", "4713-01-01 BC", "5874897-12-31", "infinity", "-infinity", "0001-01-01", "10000-01-01"},
	"time":          {"00:00:00", "24:00:00", "23:59:59.999999", "10:00:00.5"},
	"timetz":        {"00:00:00+00", "23:59:59.999999-15:59", "10:00:00.5+05:30", "10:00:00+01:02:03"},
	"timestamp":     hardTimestamps,
	"timestamptz":   hardTimestamps,
	"interval":      {"0", "1 year 2 mons -3 days 04:05:06.789", "-1 day", "-00:00:01", "178000000 years", "1 day -00:00:00.000001"},
	"bit":           {"0", "1"},
	"varbit":        {"", "101", "0000000001"},
	"point":         {"(0,0)", "(-1.5,1e300)", "(NaN,Infinity)"},
	"lseg":          {"[(0,0),(1,1)]"},
	"box":           {"(1,1),(0,0)", "(2.5,3),(-1,-1e-7)"},
	"path":          {"((0,0),(1,1))", "[(0,0),(1,1),(2,0)]"},
	"polygon":       {"((0,0),(1,1),(2,0))"},
	"line":          {"{1,2,3}", "{0,-1,0}"},
	"circle":        {"<(1,2),3>"},
	"inet":          {"10.0.0.1", "10.0.0.0/8", "::1", "2001:db8::/32"},
	"cidr":          {"10.0.0.0/8", "::/0"},
	"macaddr":       {"08:00:2b:01:02:03"},
	"macaddr8":      {"08:00:2b:01:02:03:04:05"},
	"tsvector":      {"", `'a b':1A 'it''s':2 'x\\y'`, "plain words"},
	"tsquery":       {"", `'a b' & !c:*AB`, `'it''s' <-> 'x\\y'`},
	"pg_lsn":        {"0/0", "FFFFFFFF/FFFFFFFF"},
	"pg_snapshot":   {"10:20:10,14,15", "1:1:"},
	"txid_snapshot": {"10:20:10,14,15"},
	"aclitem":       {"pg_monitor=r/pg_monitor", "=r*w/pg_monitor"},
	"int2vector":    {"", "1", "1 -2 3"},
	"oidvector":     {"", "1", "1 2 4294967295"},
	"regproc":       {"now", "-"},
	"regprocedure":  {"now()", "substr(text,integer,integer)"},
	"regoper":       {"||/"},
	"regoperator":   {"+(integer,integer)", "!!(none,tsquery)"},
	"regclass":      {"pg_class", "pg_toast.pg_toast_1255"},
	"regtype":       {"integer", "timestamp with time zone", `"char"`, "text[]"},
	"regconfig":     {"english"},
	"regdictionary": {"simple"},
	"regnamespace":  {"pg_catalog"},
	"regrole":       {"pg_monitor"},
	"regcollation":  {`"C"`},

	"int4range":      {"empty", "[1,10)", "(,)", "[5,]"},
	"int8range":      {"empty", "[-9223372036854775808,9223372036854775807)"},
	"numrange":       {"[1.10,2.20]", "(,0)", "[NaN,NaN]"},
	"tsrange":        {"[2026-01-01 10:00,2026-01-02 10:00:00.5)", "[-infinity,infinity]"},
	"tstzrange":      {"[2026-01-01 10:00+02,infinity)", "empty"},
	"daterange":      {"[2026-01-01,2026-02-01)", "[0044-03-15 BC,)"},
	"int4multirange": {"{}", "{[1,3),[5,7)}"},
	"int8multirange": {"{}", "{(,1),[5,)}"},
	"nummultirange":  {"{[1.10,2.20],(3,4)}"},
	"tsmultirange":   {"{[2026-01-01 10:00,2026-01-02 10:00:00.5)}"},
	"tstzmultirange": {"{[2026-01-01 10:00+02,2026-01-02 10:00:00.5+02)}"},
	"datemultirange": {"{[2026-01-01,2026-02-01),[2027-01-01,)}"},
}

// notForColumns are the types whose input functions refuse every value, so that no row of a user can hold one.
var notForColumns = map[string]string{
	"pg_node_tree":                 "the planner's own; its input function refuses",
	"pg_ndistinct":                 "extended statistics; its input function refuses",
	"pg_dependencies":              "extended statistics; its input function refuses",
	"pg_mcv_list":                  "extended statistics; its input function refuses",
	"pg_brin_bloom_summary":        "an index's own; its input function refuses",
	"pg_brin_minmax_multi_summary": "an index's own; its input function refuses",
	"gtsvector":                    "an index's own; its input function refuses",
}

const hundredDigits = "1234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890"

var hardText = []string{
	"", " ", "plain", "NULL", "null", `"`, `\`, `"quoted"`, `back\slash\\`, "{}", "{a,b}", "(a,b)", ",", ";", "a;b", "a,b", "'", "=>",
	"tab\tnew\nline\rreturn\bback\fform", "\x01\x02\x1f\x7f", "😀 ünï   \u00a0", "</script>&<>", `\u0041`, "$1", " lead and trail ",
}

var hardJSON = []string{
	`1e400`, `{"a" : 1e400,  "a":[-0, 1E5, 1.0e+20, 12345678901234567890123] }`, `"\ud800"`, `"\udc00\ud800 lone"`, `"\ud83d\ude00"`, `"\u0000"`,
	`null`, `true`, `"NULL"`, `[]`, `{}`, "[1,\n\t2 ]", `{"q\"uote":"\\ \/ \b\f\n\r\t"}`, ` "spaced" `, `{"deep":[[[[[[{"er":["x",null]}]]]]]]}`, `""`,
}

var hardJSONB = []string{
	`1e400`, `{"b" : 1.10,  "a":[-0, 1E5, 12345678901234567890123], "b":2 }`, `"\ud83d\ude00"`,
	`null`, `true`, `"NULL"`, `[]`, `{}`, "[1,\n\t2 ]", `{"q\"uote":"\\ \/ \b\f\n\r\t"}`, `{"deep":[[[[[[{"er":["x",null]}]]]]]]}`, `""`,
}

var hardTimestamps = []string{
	"2026-01-01 10:00:00.5", "2026-01-01 10:00:00", "2026-12-31 23:59:59.999999", "0044-03-15 12:00:00 BC", "4713-01-01 00:00:00 BC",
	"294276-12-31 23:59:59.999999", "0001-01-01 00:00:00", "10000-01-01 00:00:00.000001", "infinity", "-infinity", "1970-01-01 00:00:00",
}
