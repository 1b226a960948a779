// Package guard watches the slot from beside the stream: how much write-ahead log Postgres keeps for it, and how near Postgres is to giving it up.
// It says so, with the fix, before a disk is full or the slot is lost.
//
//	inspect  one query over a connection of its own -> Report
//	judge    Report -> Warnings; Notices decides which of them are said now
//	watch    the loop, the gauges, and the last report for the admin page
package guard
