package rules

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"freshet/shared/problem"
)

// The readers below say of each mistake where it is, as in rules[2].filter[0].op.

// parseJSON reads a text that has to be JSON.
func parseJSON(place, text string) (gjson.Result, *problem.Error) {
	var any json.RawMessage
	err := json.Unmarshal([]byte(text), &any)
	if err == nil {
		return gjson.Parse(text), nil
	}
	wrong := &problem.Error{What: place + " is not valid JSON", Why: err.Error(), Fix: "correct it; text in JSON stands in double quotes, and nothing follows the last entry of a list"}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		before := text[:min(int(syntax.Offset), len(text))]
		wrong.Why = fmt.Sprintf("line %d, column %d: %s", 1+strings.Count(before, "\n"), len(before)-strings.LastIndexByte(before, '\n')-1, err)
	}
	return gjson.Result{}, wrong
}

// parseMembers reads an object that has no other members than these.
func parseMembers(place string, object gjson.Result, known []string, example string) (m map[string]gjson.Result, found problem.List) {
	if !object.IsObject() {
		return nil, problem.List{{What: fmt.Sprintf("%s is %s", place, object.Raw), Why: "it is not a JSON object", Fix: "write " + example}}
	}
	m = map[string]gjson.Result{}
	object.ForEach(func(name, value gjson.Result) bool {
		_, twice := m[name.Str]
		switch {
		case !slices.Contains(known, name.Str):
			fix := "the members are " + strings.Join(known, ", ")
			if near := problem.Nearest(name.Str, slices.Values(known)); near != "" {
				fix = "did you mean " + near + "?"
			}
			found = append(found, &problem.Error{What: fmt.Sprintf("%s.%s is not known", place, name.Str), Why: "there is no such member", Fix: fix})
		case twice:
			found = append(found, &problem.Error{What: fmt.Sprintf("%s.%s is there twice", place, name.Str), Why: "one of them would be ignored", Fix: "remove one"})
		}
		m[name.Str] = value
		return true
	})
	return m, found
}

// stringMember reads a string that must be there.
func stringMember(place string, value gjson.Result, example string) (string, *problem.Error) {
	switch {
	case !value.Exists():
		return "", &problem.Error{What: place + " is missing", Why: "it is needed", Fix: fmt.Sprintf("write it, for example %q", example)}
	case value.Type != gjson.String:
		return "", &problem.Error{What: fmt.Sprintf("%s is %s", place, value.Raw), Why: "it is not a string", Fix: fmt.Sprintf("write it in quotes, for example %q", example)}
	}
	return value.Str, nil
}
