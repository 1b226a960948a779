// Package pgoutput decodes what a logical replication slot sends through Postgres' own output plugin, protocol version 1,
// values in text format. It does no I/O, and allocates nothing for a row: a message points into the bytes it was read from.
//
// Protocol 1 sends committed transactions only, whole, in commit order. Control messages that carry no rows are passed over; a row
// message that cannot be understood, or one outside a transaction, is an error, because to skip it would be to lose it.
// https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html
package pgoutput
