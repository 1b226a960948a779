// Package e2e runs both programs against real servers and lets an independent judge look at what came of it.
//
// The Judge and the Watcher share no code with the programs: what a value must be, they ask Postgres. The tests beside
// them do what a user would do, and what happens to a user: the function stops, the poller is killed, Redis says no.
package e2e
