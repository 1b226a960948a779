// Package redisstore keeps strings in one Redis. Beside the data lives one small hash for each sink, "freshet:<sink>:state": what was
// applied, and what is sealed. It is changed in the same script as the data, and is lost, restored and failed over with it, so
// it can always say how much of the stream this Redis holds.
//
//	source           the change.Source that this sink mirrors, as JSON
//	session          the session whose batches are accepted
//	opening          a session that is being opened while the one before writes on: its batches are let through no more
//	rules            the hash of the rules that made the keys and values
//	sealed           the LSN below which everything is settled, "16/B374D848"
//	lanes            how many lanes the session has
//	lane:N           "<seq> <position>": the lane's last batch, and the last message it brought
//	count            how many batches of this session were applied, over all lanes
//	before           the lanes of earlier sessions, where they were others: a JSON list of exchange.Applied
//	repairs          the damage that the session found: a JSON list of exchange.Repair
//	backfill:<table> the table's change.Backfill, as JSON
//	shape:<table>    what the table was when its keys were written, as JSON: its identity, its shape, the prefixes of its keys
//	leftover:<table> prefixes that earlier rules gave the table's keys, a JSON list: emptied once all keys are under the new one
//	clearing         how far the truncates of a batch have come, as JSON
//
// Damage that nobody wants repaired keeps its mark: rules, identity and shape are those of the keys that are there, not of the last session.
// So it is found again by every session until it is repaired.
//
// Each lane has a key beside it, "freshet:<sink>:lane:N", "<session> <seq>", written with every batch of the lane: large batches are written in a
// transaction that watches it. It may go at any time; then the lane's next batch is written by the script, as small ones are.
//
// Two more keys are there once a message could not be written: "freshet:<sink>:dead", the stream of dead letters, and
// "freshet:<sink>:dead:keys", which knows the letter of each key that nothing has been written to since.
package redisstore
