package e2e_test

import (
	"strings"
	"testing"
)

// hard has a column of every type, and in its rows what is hard about it.
const hard = `
CREATE TYPE mood AS ENUM ('sad', 'ok', 'very "happy"', 'a,b');
CREATE DOMAIN positive AS numeric CHECK (VALUE > 0);
CREATE DOMAIN moods AS mood[];
CREATE DOMAIN document AS jsonb;
CREATE TYPE place AS (street text, nr int, tags text[], at timestamptz, doc jsonb, big numeric, "odd ""name" bool);
CREATE TYPE trip AS (origin place, stops place[], feel mood);
CREATE TYPE span AS RANGE (subtype = float8);
CREATE TABLE hard (
	id int PRIMARY KEY,
	small int2, normal int4, big int8, num numeric, scaled numeric(12,4), f4 float4, f8 float8, cash money,
	yes bool, ch "char", c char(5), vc varchar(20), txt text, nm name, bin bytea,
	d date, t time, tz timetz, ts timestamp, tstz timestamptz, iv interval,
	u uuid, j json, jb jsonb, x xml,
	ip inet, net cidr, mac macaddr, mac8 macaddr8, b bit(5), vb bit varying(12),
	p point, l line, seg lseg, bx box, pth path, poly polygon, circ circle,
	vec tsvector, q tsquery, lsn pg_lsn, o oid, xi xid, snap pg_snapshot, cl regclass, ty regtype,
	m mood, pos positive, ms moods, doc document, here place, travel trip,
	i4r int4range, nr numrange, tr tstzrange, dr daterange, sp span, mr int4multirange,
	ints int[], ints2 int[][], texts text[], nums numeric[], bools bool[], jsons json[], jsonbs jsonb[], dates date[], stamps timestamptz[], moodlist mood[], places place[],
	bins bytea[], ranges int4range[], f8s float8[], doms positive[], uuids uuid[],
	"quoted ""column" text, "Übergröße 😀" text, "a.b|c" int
);
INSERT INTO hard (id) VALUES (0);
INSERT INTO hard VALUES (1,
	-32768, 2147483647, 9223372036854775807, repeat('1234567890', 10)::numeric, 12345678.9000, 3.4028235e38, 1.7976931348623157e308, 1234.56,
	true, 'x', 'ab', 'tab	quote"back\', E'line\nreturn\rform\fback\bbell\x07nul-free \\ "quoted" / </script> é 😀 \u2028', 'a name', '\xdeadbeef00ff',
	'2026-02-28', '23:59:59.999999', '23:59:59.5+05:30', '2026-01-01 10:00:00.123456', '2026-01-01 10:00:00.1+02', '1 year 2 mons -3 days 04:05:06.789',
	'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{"b" : 1e400,  "a": [1.0, 1.00], "a": "\ud83d\ude00 \ud83d", "n": null}', '{"z": 1.10, "big": 12345678901234567890.123456789, "e": 1e30, "s": "\u00e9 \\ \" "}', '<a b="c">d</a>',
	'10.0.0.1/8', '10.0.0.0/8', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05', B'10110', B'1011',
	'(1.5,-2)', '{1,2,3}', '[(0,0),(1,1)]', '((0,0),(2,2))', '((0,0),(1,1),(2,0))', '((0,0),(1,1),(2,0))', '<(0,0),1.5>',
	'''a "fat" cat'':3A rat:1', 'fat & (rat | cat)', '16/B374D848', 4294967295, '42', '10:20:10,14', 'pg_class', 'integer',
	'very "happy"', 0.00001000, '{sad,"a,b"}', '{"k": [1, 2.50]}',
	ROW('Main "St", (x)', 7, '{a,"b c",NULL,"d\"e"}', '2026-01-01 00:00+00', '{"a": 1.0}', 1e50, true),
	ROW(ROW('', NULL, '{}', NULL, '[]', NULL, false)::place, ARRAY[ROW('s', 1, NULL, 'infinity', '"t"', 'NaN', NULL)::place, NULL], 'a,b'),
	'[1,10)', '(1.50,]', '["2026-01-01 00:00+00","2026-06-01 12:30:00.5+00")', '[-infinity,2026-01-01)', '[1.5,2.5]', '{[1,3),[7,9)}',
	'{1,NULL,-3}', '{{1,2},{3,4}}', '{"NULL",NULL,"","a b","c,d","e\"f","g\\h","{i}","😀"}', '{NaN,1.10,Infinity}', '{t,f}', ARRAY['{"a" :1}','[ ]']::json[], ARRAY['{"a": 1.10}','"x"','null']::jsonb[],
	'{2026-01-01,infinity,"0044-03-15 BC"}', '{"2026-01-01 00:00+00",-infinity}', '{sad,"very \"happy\"","a,b"}', ARRAY[ROW('s', 1, '{x}', NULL, NULL, 5, NULL)::place],
	ARRAY['\x00ff', '\x']::bytea[], '{"[1,3)",empty}', '{NaN,Infinity,-Infinity,-0,1e-320,0.1}', '{1.0,2.50}', '{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}',
	'q', 'ü', 1);
INSERT INTO hard VALUES (2,
	32767, -2147483648, -9223372036854775808, 'NaN', -0.0001, 'NaN', '-Infinity', -0.01,
	false, '', '', '', '', '', '\x',
	'infinity', '24:00', '00:00-15:59', '-infinity', 'infinity', '-1 year -00:00:00.000001',
	'00000000-0000-0000-0000-000000000000', 'null', 'null', '',
	'::1', '::/0', 'ff:ff:ff:ff:ff:ff', 'ff:ff:ff:ff:ff:ff:ff:ff', B'00000', B'',
	'(NaN,Infinity)', '{0,-1,1e-300}', '[(0,0),(0,0)]', '((1,1),(1,1))', '[(0,0),(1,1)]', '((0,0))', '<(1e300,-1e-300),0>',
	'', '', '0/0', 0, '0', '1:1:', '-', '-',
	'sad', 1e131, '{}', '"\u0001"', ROW(NULL, NULL, NULL, NULL, NULL, NULL, NULL), ROW(NULL, '{}', NULL),
	'empty', '(,)', '[,infinity]', 'empty', '(,0)', '{}',
	'[0:2]={1,2,3}', '[-1:0][3:3]={{1},{2}}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', NULL, '', NULL);
INSERT INTO hard (id, num, f4, f8, d, ts, tstz, t, iv, txt, jb, j, ints2, scaled) VALUES
	(3, 'Infinity', '-Infinity', 'Infinity', '0044-03-15 BC', '4713-01-01 00:00:00 BC', '0001-12-31 23:59:59 BC', '00:00', '0', E'\u007f\u0080\u00ff', '"é"', '"\u00e9"', '{{{1,2},{3,4}},{{5,6},{7,8}}}', 0),
	(4, '-Infinity', '-0', '-0', '5874897-12-31', '294276-12-31 23:59:59.999999', '294276-12-31 23:59:59.999999+00', '12:00:00.5', '178000000 years', '{"not":"json"}', '1e1000', '1e-999999', '{}', -99999999.9999),
	(5, 0.0, 1e-45, 5e-324, '2000-01-01', '2000-01-01 00:00:00.000001', '1999-12-31 19:00:00-05:23', '01:02:03', 'P1Y2M3DT4H5M6.007S', 'null', '[]', '  {"spaces" :  [ ] }  ', NULL, 1),
	(6, -0.000, 0.1, 0.30000000000000004, NULL, NULL, NULL, NULL, '-1 days +02:03:04', 'NULL', '{"":""}', '"\/"', NULL, NULL),
	(7, 1e-1000, 16777216, 1e15, NULL, NULL, NULL, NULL, '1 mon -1 day', '\u0000 \\u0000', '{"a":{"b":{"c":[[],{},null,true,-0.0,0e5]}}}', '-0', NULL, NULL),
	(8, 123e4, 1e20, 1e16, NULL, NULL, NULL, NULL, '00:00:00.1', repeat('😀', 3000), '123456789012345678901234567890', '[1,2]', NULL, NULL);`

// The judge asks Postgres for to_json of each row: once as the stream brought it, once as the backfill did.
func TestDefaultValueIsToJSON(t *testing.T) {
	t.Parallel()
	create, rows, _ := strings.Cut(hard, "INSERT INTO")
	rows = "INSERT INTO" + rows
	for _, way := range []string{"stream", "backfill"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "hard", create)
			if way == "backfill" {
				r.exec(rows)
			}
			r.start()
			if way == "stream" {
				r.exec(rows)
				r.exec("INSERT INTO hard (id, m, txt) VALUES (99, 'ok', 'short-lived')")
				r.exec("UPDATE hard SET yes = NOT coalesce(yes, true), id = id + 10 WHERE id <> 99; DELETE FROM hard WHERE id = 99")
			}
			if v := r.wantEqual(patience, "hard"); v.Rows != 9 {
				t.Fatalf("%d rows were compared, want 9", v.Rows)
			}
		})
	}
}

// Keys of every type that makes sense in one: a part is the text of its JSON value.
func TestKeysAreTheTextOfTheirValues(t *testing.T) {
	t.Parallel()
	for _, column := range []struct{ kind, values string }{
		{"text", `('a'), ('with space'), ('colon:and-dash'), ('quote"back\'), ('é😀'), ('*?[x]'), ('{brace}'), (E'new\nline')`},
		{"uuid", `('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11')`},
		{"timestamptz", `('2026-01-01 00:00+02'), ('2026-01-01 00:00:00.5+00')`},
		{"date", `('2026-01-01')`},
		{"numeric", `(1.50), (-7), (12345678901234567890.5)`},
		{"bigint", `(0), (-9223372036854775808), (9223372036854775807)`},
		{"bool", `(true), (false)`},
	} {
		t.Run(column.kind, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "keyed", "CREATE TABLE keyed (k "+column.kind+" PRIMARY KEY, n int DEFAULT 0); INSERT INTO keyed VALUES "+column.values)
			r.start()
			r.wantEqual(patience, "keyed")
			r.exec("UPDATE keyed SET n = 1")
			r.wantEqual(patience, "keyed")
			r.exec("DELETE FROM keyed WHERE k = (SELECT min(k::text) FROM keyed)::" + column.kind)
			r.wantEqual(patience, "keyed")
		})
	}
}
