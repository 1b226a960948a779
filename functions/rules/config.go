package rules

import (
	"fmt"
	"strconv"
	"strings"

	"freshet/shared/change"
	"freshet/shared/problem"
)

// Config is the default rule, as the environment has it.
type Config struct {
	Key      string   `split_words:"true" default:"sequin:{table_name}:{primary_key}" desc:"The key of a row: text with {table_schema}, {table_name} and {primary_key}; the parts of a composite key are joined by a hyphen."`
	Value    string   `split_words:"true" default:"record" desc:"The value of a row: a gjson path over the message, such as record or record.{name,price}."`
	Actions  []string `split_words:"true" default:"insert,update,delete" desc:"The actions that reach Redis; the others are filtered. A truncate belongs to delete, a backfilled row to insert and update."`
	ExpireMS string   `split_words:"true" desc:"Milliseconds that a key lives after it was written, for example 86400000 for a day; keys stay for ever when it is not set."`
}

// Validate reports every part of the rule that cannot work.
func (c Config) Validate() (found problem.List) {
	_, found = c.compile()
	return found
}

// rule reads the settings into the form that a list of rules has too.
func (c Config) rule() (r Rule, found problem.List) {
	r = Rule{Key: c.Key, Value: c.Value}
	var wrong *problem.Error
	if r.Actions, wrong = actions(c.Actions); wrong != nil {
		found = append(found, wrong)
	}
	if r.ExpireMS, wrong = expireMS(c.ExpireMS); wrong != nil {
		found = append(found, wrong)
	}
	return r, found
}

func actions(words []string) (all []change.Action, wrong *problem.Error) {
	for _, word := range words {
		a := change.Action(strings.TrimSpace(word))
		switch a {
		case change.Insert, change.Update, change.Delete:
			all = append(all, a)
		default:
			return nil, &problem.Error{
				What: fmt.Sprintf("FN_ACTIONS holds %q", word),
				Why:  "the actions are insert, update and delete; a truncate belongs to delete, a backfilled row to insert and update",
				Fix:  "FN_ACTIONS=insert,update,delete",
			}
		}
	}
	if len(all) == 0 {
		return nil, &problem.Error{What: "FN_ACTIONS is empty", Why: "nothing would ever reach Redis", Fix: "FN_ACTIONS=insert,update,delete"}
	}
	return all, nil
}

// longestExpiry keeps the expiry and the clock together below what Redis can store.
const longestExpiry = 100 * 365 * 24 * 60 * 60 * 1000

func expireMS(text string) (int64, *problem.Error) {
	if text = strings.TrimSpace(text); text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	wrong := &problem.Error{What: fmt.Sprintf("FN_EXPIRE_MS is %q", text), Fix: "set a whole number of milliseconds, such as 86400000 for a day, or remove the variable"}
	switch {
	case err != nil:
		wrong.Why = "it is not a whole number"
	case n == 0:
		wrong.Why = "a key that expires at once is never seen"
		wrong.Fix = "to keep keys for ever remove the variable; deletes are followed without an expiry"
	case n < 0:
		wrong.Why = "a key cannot have expired before it is written"
	case n > longestExpiry:
		wrong.Why = "that is longer than a hundred years"
	default:
		return n, nil
	}
	return 0, wrong
}
