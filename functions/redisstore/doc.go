// Package redisstore keeps strings in one Redis. Beside the data lives one small hash for each sink, "freshet:<sink>:state": what was
// applied, and what is sealed. It is changed in the same script as the data, and is lost, restored and failed over with it, so
// it can always say how much of the stream this Redis holds.
//
//	source           the change.Source that this sink mirrors, as JSON
//	session          the session whose batches are accepted
//	rules            the hash of the rules that made the keys and values
//	sealed           the LSN below which everything is settled, "16/B374D848"
//	lanes            how many lanes the session has
//	lane:N           "<seq> <position>": the lane's last batch, and the last message it brought
//	count            how many batches of this session were applied, over all lanes
//	before           the lanes of earlier sessions, where they were others: a JSON list of exchange.Applied
//	backfill:<table> the table's change.Backfill, as JSON
//
// Two more keys are there once a message could not be written: "freshet:<sink>:dead", the stream of dead letters, and
// "freshet:<sink>:dead:keys", which knows the letter of each key that nothing has been written to since.
package redisstore
