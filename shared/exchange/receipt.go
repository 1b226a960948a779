package exchange

import "freshet/shared/problem"

// Receipt is the body of a 2xx: what became of the messages. The counts add up to the number of messages,
// except that a message may both write one key and delete another.
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
}

// Command is one write in a form for people.
type Command struct {
	Command  string `json:"command"` // "SET", "DEL"; "DEL PREFIX" for a truncate; "XADD" for a dead letter
	Key      string `json:"key"`
	Value    string `json:"value,omitempty"`
	ExpireMS int64  `json:"expire_ms,omitempty"`
	// Why is the reason of a dead letter, and of what is removed for it.
	Why string `json:"why,omitempty"`
	// Present is what the key holds now, where QueryAgainst asks for it; null when there is no such key.
	Present *string `json:"present,omitempty"`
}

// Check is the body of RouteCheck: everything about this function and its Redis that would get in the way.
type Check struct {
	Findings []problem.Details `json:"findings"`
}
