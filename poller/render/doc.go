// Package render turns the text of a Postgres value into JSON, byte for byte as SELECT to_json(t) would give it. Stream
// and backfill both pass through it, so that a row is spelled the same whichever way it came.
//
// It reads what the types' output functions write under the settings in Pin, and nothing else. A value that does not look
// like its type is not an error: it travels as its text, in a JSON string, and the caller counts it.
//
// The rules are those of json_categorize_type and datum_to_json in Postgres' src/backend/utils/adt/json.c.
// https://www.postgresql.org/docs/current/functions-json.html#FUNCTIONS-JSON-CREATION-TABLE
package render
