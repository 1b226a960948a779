package exchange

import "freshet/shared/problem"

// Receipt is the body of a 2xx: what became of the messages. The counts add up to the number of messages,
// except that a message may touch several keys: those of several rules, or its new and its old one.
type Receipt struct {
	Written   int `json:"written"`
	Deleted   int `json:"deleted"`
	Filtered  int `json:"filtered"`
	Dead      int `json:"dead"`
	Duplicate int `json:"duplicate"` // applied before, or overtaken within the batch by a newer message for its key
	// Rules identifies the rules that rendered the batch, as Plan.Rules does.
	Rules string `json:"rules,omitempty"`
	// Commands is what a dry run would have issued.
	Commands []Command `json:"commands,omitempty"`
	// Previews says for a dry run how the commands came about: what each rule makes of each message.
	Previews []Preview `json:"previews,omitempty"`
}

// Command is one write in a form for people.
type Command struct {
	Command  string `json:"command"` // "SET", "SET XX", "DEL"; "DEL PREFIX" for a truncate; "XADD" for a dead letter
	Key      string `json:"key"`
	Value    string `json:"value,omitempty"`
	ExpireMS int64  `json:"expire_ms,omitempty"`
	// Why is the reason of a dead letter, and of what is removed for it.
	Why string `json:"why,omitempty"`
	// Present is the string that Redis has under the key now; nil when it has none, or was not asked.
	Present *string `json:"present,omitempty"`
}

// Preview is what one rule makes of one message.
type Preview struct {
	Message int    `json:"message"` // index in the batch
	Rule    string `json:"rule"`    // its place in the settings: "rules[2]", or "default" for that of FN_KEY, FN_VALUE and so on
	// Commands are this message's alone: a later one for the same key overtakes them. There are none, one, or two when the key has changed.
	Commands []Command `json:"commands,omitempty"`
	// Reason says why nothing is written: a condition of the filter, an action that is not wanted.
	Reason string `json:"reason,omitempty"`
	// Poison says why the message can never be written.
	Poison *problem.Details `json:"poison,omitempty"`
}

// Check is the body of RouteCheck: everything about this function and its Redis that would get in the way.
type Check struct {
	Findings []problem.Details `json:"findings"`
}
