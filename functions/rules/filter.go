package rules

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"freshet/shared/problem"
)

// condition is one of those that a row has to meet to have a key. What is null or missing meets none but is_null.
type condition struct {
	path path
	op   string
	want []operand
	text string // for people
}

// operand is what a row's value is compared with.
type operand struct {
	kind   gjson.Type // String, Number, True or False
	text   string
	number decimal
}

// operation says whether a row's value, which is not null, meets the wanted ones.
type operation struct {
	meets func(found gjson.Result, want []operand) bool
	// takes is what may stand in value.
	takes takes
}

type takes int

const (
	nothing takes = iota
	scalar        // a string, a number, true or false
	ordered       // a string or a number
	words         // a string
	list          // a list of scalars
)

var operations = map[string]operation{
	"=":        {equal, scalar},
	"!=":       {func(f gjson.Result, want []operand) bool { return !equal(f, want) }, scalar},
	">":        {func(f gjson.Result, want []operand) bool { n, ok := order(f, want[0]); return ok && n > 0 }, ordered},
	">=":       {func(f gjson.Result, want []operand) bool { n, ok := order(f, want[0]); return ok && n >= 0 }, ordered},
	"<":        {func(f gjson.Result, want []operand) bool { n, ok := order(f, want[0]); return ok && n < 0 }, ordered},
	"<=":       {func(f gjson.Result, want []operand) bool { n, ok := order(f, want[0]); return ok && n <= 0 }, ordered},
	"in":       {equal, list},
	"not_in":   {func(f gjson.Result, want []operand) bool { return !equal(f, want) }, list},
	"is_null":  {func(gjson.Result, []operand) bool { return false }, nothing},
	"not_null": {func(gjson.Result, []operand) bool { return true }, nothing},
	"prefix": {func(f gjson.Result, want []operand) bool {
		return f.Type == gjson.String && strings.HasPrefix(f.Str, want[0].text)
	}, words},
	"contains": {contains, scalar},
}

// meets says whether the row of a message meets the condition.
func (c *condition) meets(r *view) bool {
	found := r.get(&c.path)
	if found.Type == gjson.Null { // what is missing is Null too
		return c.op == "is_null"
	}
	return operations[c.op].meets(found, c.want)
}

// equal says that the value is one of the wanted ones. A number is none of the strings, whatever they hold.
func equal(found gjson.Result, want []operand) bool {
	return slices.ContainsFunc(want, func(w operand) bool {
		if found.Type == gjson.True || found.Type == gjson.False {
			return found.Type == w.kind
		}
		n, ok := order(found, w)
		return ok && n == 0
	})
}

// order compares two numbers by their value, or two strings byte by byte; ok is false for anything else.
func order(found gjson.Result, want operand) (n int, ok bool) {
	switch {
	case found.Type != want.kind:
		return 0, false
	case found.Type == gjson.String:
		return strings.Compare(found.Str, want.text), true
	case found.Type == gjson.Number:
		if text := raw(found); text != want.text {
			return parseDecimal(text).compare(want.number), true
		}
		return 0, true
	}
	return 0, false
}

// contains looks for a piece of a string, or for an element of an array.
func contains(found gjson.Result, want []operand) (yes bool) {
	if found.Type == gjson.String {
		return want[0].kind == gjson.String && strings.Contains(found.Str, want[0].text)
	}
	if found.IsArray() {
		found.ForEach(func(_, element gjson.Result) bool {
			yes = equal(element, want)
			return !yes
		})
	}
	return yes
}

const exampleFilter = `[{"path":"record.status","op":"in","value":["live","sale"]}]`

// parseFilter reads a JSON list of conditions.
func parseFilter(p part) (all []condition, found problem.List) {
	if strings.TrimSpace(p.text) == "" {
		return nil, nil
	}
	list, wrong := parseJSON(p.place, p.text)
	if wrong == nil && !list.IsArray() {
		wrong = &problem.Error{What: p.place + " is not a list", Why: "a filter is a list of conditions", Fix: "write " + exampleFilter}
	}
	if wrong != nil {
		return nil, problem.List{wrong}
	}
	for i, entry := range list.Array() {
		c, more := parseCondition(fmt.Sprintf("%s[%d]", p.place, i), entry)
		all, found = append(all, c), append(found, more...)
	}
	return all, found
}

func parseCondition(place string, entry gjson.Result) (c condition, found problem.List) {
	m, found := parseMembers(place, entry, []string{"path", "op", "value"}, exampleFilter[1:len(exampleFilter)-1])
	if m == nil {
		return c, found
	}
	note := func(p *problem.Error) {
		if p != nil {
			found = append(found, p)
		}
	}
	text, wrong := stringMember(place+".path", m["path"], "record.status")
	note(wrong)
	if wrong == nil {
		c.path, wrong = parsePath(place+".path", text)
		note(wrong)
	}
	c.op, wrong = stringMember(place+".op", m["op"], "=")
	note(wrong)
	if wrong != nil {
		return c, found
	}
	op, known := operations[c.op]
	if !known {
		fix := "the operators are = != > >= < <= in not_in is_null not_null prefix contains"
		if near := nearestOperator(c.op); near != "" {
			fix = "did you mean " + near + "? " + strings.ToUpper(fix[:1]) + fix[1:]
		}
		note(&problem.Error{What: fmt.Sprintf("%s is %q", place+".op", c.op), Why: "it is no operator", Fix: fix})
		return c, found
	}
	c.want, wrong = op.takes.operands(place+".value", c.op, m["value"])
	note(wrong)
	c.text = strings.TrimSpace(text + " " + c.op + " " + m["value"].Raw)
	return c, found
}

// others are how operators are called elsewhere.
var others = map[string]string{
	"==": "=", "eq": "=", "equals": "=", "<>": "!=", "ne": "!=", "neq": "!=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<=",
	"null": "is_null", "isnull": "is_null", "starts_with": "prefix", "like": "contains", "nin": "not_in",
}

func nearestOperator(op string) string {
	word := strings.ToLower(strings.ReplaceAll(strings.TrimSpace(op), " ", "_"))
	if other := others[word]; other != "" {
		return other
	}
	if _, known := operations[word]; known {
		return word
	}
	return problem.Nearest(word, maps.Keys(operations))
}

// operands reads what the row's value is compared with.
func (t takes) operands(place, op string, value gjson.Result) (want []operand, wrong *problem.Error) {
	refuse := func(why, fix string) ([]operand, *problem.Error) {
		if !value.Exists() {
			return nil, &problem.Error{What: place + " is missing", Why: why, Fix: fix}
		}
		return nil, &problem.Error{What: fmt.Sprintf("%s is %s", place, value.Raw), Why: why, Fix: fix}
	}
	switch {
	case t == nothing:
		if value.Exists() {
			return refuse(op+" compares with nothing", "leave it out")
		}
		return nil, nil
	case t == list:
		if !value.IsArray() || len(value.Array()) == 0 {
			return refuse(op+" needs a list of values", `write it like ["live","sale"]`)
		}
		for i, one := range value.Array() {
			w, wrong := scalar.operands(fmt.Sprintf("%s[%d]", place, i), op, one)
			if wrong != nil {
				return nil, wrong
			}
			want = append(want, w...)
		}
		return want, nil
	case value.Type == gjson.Null:
		return refuse(op+" needs a value, and nothing compares with null", "write a value; to look for null use is_null or not_null, which need none")
	case value.IsObject() || value.IsArray():
		return refuse(op+" needs one value", "for a list use in or not_in")
	case t == words && value.Type != gjson.String:
		return refuse(op+" needs a string", "put the value into quotes")
	case t == ordered && value.Type != gjson.String && value.Type != gjson.Number:
		return refuse(op+" needs a number or a string", "for true and false use =")
	}
	w := operand{kind: value.Type, text: value.Str}
	if value.Type == gjson.Number {
		w.text, w.number = value.Raw, parseDecimal(value.Raw)
	}
	return []operand{w}, nil
}
