package rules

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"freshet/shared/problem"
)

// Config is the default rule, as the environment has it, and the list of rules for single tables.
type Config struct {
	Key          string   `split_words:"true" default:"sequin:{table_name}:{primary_key}" desc:"The key of a row: text with {table_schema}, {table_name}, {primary_key}, and {record.sku} for any column or gjson path; the parts of a composite primary key are joined by a hyphen."`
	Value        string   `split_words:"true" default:"record" desc:"The value of a row: a gjson path over the message, such as record or record.{name,price}; or a JSON object from sjson paths to gjson paths, such as {\"name\":\"record.name\",\"stock.count\":\"record.inventory_count\"}."`
	Filter       string   `split_words:"true" desc:"Which rows have keys: a JSON list of conditions, such as [{\"path\":\"record.status\",\"op\":\"in\",\"value\":[\"live\",\"sale\"]}]; the operators are = != > >= < <= in not_in is_null not_null prefix contains. A row that meets them no more loses its key."`
	Actions      []string `split_words:"true" default:"insert,update,delete" desc:"The actions that reach Redis; the others are filtered. A truncate belongs to delete, a backfilled row to insert and update."`
	ExpireMS     string   `split_words:"true" desc:"Milliseconds that a key lives after it was written, for example 86400000 for a day, or a gjson path to them, such as record.ttl_ms, where null is for ever; keys stay for ever when it is not set."`
	ExpireJitter string   `split_words:"true" desc:"Percent of the expiry by which keys live shorter, each by another share of it, so that keys written together do not expire together."`
	Write        string   `split_words:"true" default:"set" desc:"set writes values; delete only removes the keys of changed rows, and xx writes only keys that are there: with both the application fills the cache itself."`
	Rules        string   `split_words:"true" desc:"Rules for single tables, which replace the default rule there: a JSON list, or @ and the name of a file that holds one. An entry has table (products, shop.products, shop.* or *), key, value, filter, actions, expire_ms, jitter and write; what it leaves out is as the variables say. A table of several entries has several keys a row."`
}

// Validate reports every part of the rules that cannot work.
func (c Config) Validate() problem.List {
	_, found := c.compile()
	return found
}

// compile prepares all rules. A mistake in what several of them share is reported once.
func (c Config) compile() (*Rules, problem.List) {
	preset := c.preset()
	fallback, found := preset.compile()
	written, more := c.list(preset)
	found = append(found, more...)
	if strings.Trim(c.ExpireJitter, " 0%") != "" && c.ExpireMS == "" && c.Rules == "" {
		found = append(found, &problem.Error{What: "FN_EXPIRE_JITTER is set, but FN_EXPIRE_MS is not", Why: "there is nothing to spread: keys stay for ever", Fix: "set FN_EXPIRE_MS too, or remove the jitter"})
	}
	r := &Rules{fallback: fallback}
	for _, w := range written {
		entry, more := w.compile()
		r.entries, found = append(r.entries, entry), append(found, more...)
	}
	if found = distinct(found); len(found) == 0 {
		found = r.clashes()
	}
	r.prepare()
	return r, found
}

// preset is the default rule.
func (c Config) preset() Rule {
	return Rule{
		place: Default,
		key:   part{"FN_KEY", c.Key}, value: part{"FN_VALUE", c.Value}, filter: part{"FN_FILTER", c.Filter},
		actions: part{"FN_ACTIONS", strings.Join(c.Actions, ",")}, write: part{"FN_WRITE", c.Write},
		expireMS: part{"FN_EXPIRE_MS", c.ExpireMS}, jitter: part{"FN_EXPIRE_JITTER", c.ExpireJitter},
	}
}

// Default is the place of the rule that the variables of the environment make.
const Default = "default"

const exampleRule = `{"table":"products","key":"product:{record.sku}","value":"record.{name,price}"}`

// list reads FN_RULES.
func (c Config) list(preset Rule) (all []Rule, found problem.List) {
	text := strings.TrimSpace(c.Rules)
	if file, named := strings.CutPrefix(text, "@"); named {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, problem.List{{What: "the file of FN_RULES cannot be read", Why: err.Error(), Fix: "put the name of a readable file behind the @, or the JSON itself into FN_RULES"}}
		}
		text = string(content)
	}
	if text == "" {
		return nil, nil
	}
	list, wrong := parseJSON("FN_RULES", text)
	if wrong == nil && !list.IsArray() {
		wrong = &problem.Error{What: "FN_RULES is not a list", Why: "it begins with " + firstOf(list.Raw), Fix: "write [" + exampleRule + "]"}
	}
	if wrong != nil {
		return nil, problem.List{wrong}
	}
	for i, entry := range list.Array() {
		r, more := preset.with(fmt.Sprintf("rules[%d]", i), entry)
		all, found = append(all, r), append(found, more...)
	}
	return all, found
}

func firstOf(text string) string { return text[:min(1, len(text))] }

var ruleMembers = []string{"table", "key", "value", "filter", "actions", "expire_ms", "jitter", "write"}

// with is the rule as an entry of FN_RULES has it; what the entry leaves out stays.
func (r Rule) with(place string, entry gjson.Result) (Rule, problem.List) {
	in := func(member string) string { return "FN_RULES: " + place + "." + member }
	m, found := parseMembers("FN_RULES: "+place, entry, ruleMembers, exampleRule)
	if m == nil {
		return r, found
	}
	r.place = place
	text := func(into *part, member, example string) {
		if member != "table" && !m[member].Exists() {
			return
		}
		got, wrong := stringMember(in(member), m[member], example)
		if wrong != nil {
			found = append(found, wrong)
			return
		}
		*into = part{in(member), got}
	}
	text(&r.table, "table", "products")
	text(&r.key, "key", "product:{record.sku}")
	text(&r.write, "write", "set")
	if v := m["value"]; v.IsObject() {
		r.value = part{in("value"), v.Raw}
	} else {
		text(&r.value, "value", "record")
	}
	if v := m["filter"]; v.Exists() {
		r.filter = part{in("filter"), v.Raw}
	}
	if v := m["actions"]; v.Exists() {
		words, wrong := actionList(in("actions"), v)
		if wrong != nil {
			found = append(found, wrong)
		} else {
			r.actions = part{in("actions"), words}
		}
	}
	if v := m["expire_ms"]; v.Exists() {
		if r.expireMS = (part{in("expire_ms"), v.String()}); v.Type == gjson.Null {
			r.jitter = part{} // there is nothing to spread
		}
	}
	if v := m["jitter"]; v.Exists() {
		r.jitter = part{in("jitter"), v.String()}
	}
	return r, found
}

func actionList(place string, value gjson.Result) (string, *problem.Error) {
	wrong := &problem.Error{What: fmt.Sprintf("%s is %s", place, value.Raw), Why: "it is not a list of actions", Fix: `write ["insert","update","delete"], or some of them`}
	if !value.IsArray() {
		return "", wrong
	}
	var words []string
	for _, word := range value.Array() {
		if word.Type != gjson.String {
			return "", wrong
		}
		words = append(words, word.Str)
	}
	return strings.Join(words, ","), nil
}

// distinct leaves out findings that were there before: entries share what they leave out.
func distinct(found problem.List) (rest problem.List) {
	for _, p := range found {
		if !slices.ContainsFunc(rest, func(before *problem.Error) bool { return *before == *p }) {
			rest = append(rest, p)
		}
	}
	return rest
}
