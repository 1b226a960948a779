package rules

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unsafe"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"

	"freshet/shared/problem"
)

// value is a gjson path over the message, or a map from places in a new object to such paths.
type value struct {
	path path
	// shape is not nil for a map. Its text is that of the object, its holes are the values.
	shape *form
	// pick is not nil for a path that only picks columns.
	pick *pick
}

// of is the value for a message: a string as its text, anything else as its JSON, digit by digit as it came.
func (v *value) of(r *view) (string, error) {
	switch {
	case v.shape != nil:
		return v.fill(r), nil
	case v.path.text == "record":
		return r.m.Record, nil
	case v.pick != nil && r.m.Record != "" && r.m.Record[0] == '{':
		return v.pick.of(r.m.Record), nil
	}
	found := r.get(&v.path)
	switch {
	case !found.Exists():
		return "", noValue(r.m.Metadata.Of(), v.path.text)
	case found.Type == gjson.String:
		return found.Str, nil
	}
	return raw(found), nil
}

// fill writes the object of a map. What is not there is null.
func (v *value) fill(r *view) string {
	var buffer [few]string
	values := v.shape.read(r.m.Record, buffer[:])
	dst := make([]byte, 0, v.shape.size(values))
	dst = append(dst, v.shape.text[0]...)
	for i := range v.shape.holes {
		found := ""
		if h := &v.shape.holes[i]; h.column >= 0 {
			found = values[h.column]
		} else {
			found = raw(r.get(&h.path))
		}
		if found == "" {
			found = "null"
		}
		dst = append(append(dst, found...), v.shape.text[i+1]...)
	}
	return unsafe.String(unsafe.SliceData(dst), len(dst)) // nobody writes to it any more
}

// size is about what a filled form needs.
func (f *form) size(values []string) (n int) {
	for i, text := range f.text {
		n += len(text)
		if i < len(f.holes) {
			n += len("null")
		}
	}
	for _, found := range values {
		n += len(found)
	}
	return n
}

func (v value) reads() columns {
	if v.shape != nil {
		return v.shape.reads()
	}
	return v.path.reads
}

// parseValue reads what a user writes: a JSON object is a map, anything else a path.
func parseValue(setting, text string) (v value, found problem.List) {
	if object := gjson.Parse(text); gjson.Valid(text) && object.IsObject() {
		return parseMap(setting, object)
	}
	if why := notQuite(text); why != "" {
		return v, problem.List{{What: fmt.Sprintf("%s is %q", setting, text), Why: why, Fix: `write it like {"name":"record.name","stock":"record.inventory_count"}, or as a gjson path: record.{name,"stock":inventory_count}`}}
	}
	p, wrong := parsePath(setting, text)
	if wrong != nil {
		return v, problem.List{wrong}
	}
	return value{path: p, pick: parsePick(text)}, nil
}

// notQuite says why a text is no JSON object although it was meant to be one: gjson would read it as a path, and find nothing.
func notQuite(text string) string {
	if !strings.HasPrefix(strings.TrimSpace(text), "{") {
		return ""
	}
	for rest := text; ; {
		_, after, found := strings.Cut(rest, `"`)
		if !found {
			return ""
		}
		end := skipString(`"`+after, 0) - 1
		if rest = strings.TrimLeft(after[min(end, len(after)):], " \n\t"); strings.HasPrefix(rest, ":") && strings.HasPrefix(strings.TrimLeft(rest[1:], " \n\t"), `"`) {
			return "it looks like a JSON object, but is not valid JSON"
		}
	}
}

// longestIndex keeps a number in a path from making an array of that many nulls.
const longestIndex = 4

// parseMap has sjson make the object once, with marks for the values; what is between the marks never changes.
func parseMap(setting string, object gjson.Result) (v value, found problem.List) {
	var paths []path
	var names []string
	made := ""
	object.ForEach(func(name, of gjson.Result) bool {
		place := fmt.Sprintf("%s[%q]", setting, name.Str)
		if of.Type != gjson.String {
			found = append(found, &problem.Error{What: fmt.Sprintf("%s is %s", place, of.Raw), Why: "it is not a gjson path in quotes", Fix: `write it like "record.name"; a fixed text is the path !"text"`})
			return true
		}
		p, wrong := parsePath(place, of.Str)
		if wrong != nil {
			found = append(found, wrong)
			return true
		}
		next, err := set(made, name.Str, mark(len(paths)))
		if err != nil {
			found = append(found, &problem.Error{What: fmt.Sprintf("%s is no place in a value", place), Why: err.Error(), Fix: `write it like "stock" or "stock.count"; a dot within a name is \.`})
			return true
		}
		made, paths, names = next, append(paths, p), append(names, name.Str)
		return true
	})
	switch {
	case len(found) > 0:
		return v, found
	case len(paths) == 0:
		return v, problem.List{{What: setting + " is {}", Why: "the value of every row would be the same", Fix: examplePath}}
	}
	if v.shape, found = cutAtMarks(setting, made, paths, names); len(found) > 0 {
		return v, found
	}
	return v, nil
}

// set is sjson.SetRaw, for paths that set one place.
func set(object, at, raw string) (string, error) {
	if at == "" {
		return "", errors.New("it is empty")
	}
	for part := range strings.SplitSeq(at, ".") {
		if len(part) > longestIndex && strings.Trim(part, "0123456789") == "" {
			return "", fmt.Errorf("%s would make an array of that many nulls", part)
		}
	}
	next, err := sjson.SetRaw(object, at, raw)
	if err == nil && !strings.Contains(next, raw) {
		return "", fmt.Errorf("sjson sets nothing at %q", at)
	}
	return next, err
}

// mark stands for the i-th value. Names in the object cannot look like it: sjson escapes quotes in them.
func mark(i int) string { return `"\u0000` + strconv.Itoa(i) + `\u0000"` }

// cutAtMarks makes the form of an object. A mark that is gone was in the way of another.
func cutAtMarks(setting, object string, paths []path, names []string) (*form, problem.List) {
	f := &form{}
	filled := make([]bool, len(paths))
	text, rest, more := strings.Cut(object, `"\u0000`)
	f.text = []string{text}
	for more {
		number, behind, _ := strings.Cut(rest, `\u0000"`)
		i, err := strconv.Atoi(number)
		if err != nil || i >= len(paths) || filled[i] {
			return nil, problem.List{{What: setting + " has a name that cannot be used", Why: "it holds a zero byte", Fix: "use names of ordinary characters"}}
		}
		filled[i] = true
		text, rest, more = strings.Cut(behind, `"\u0000`)
		f.add(hole{path: paths[i]}, paths[i].column, text)
	}
	for i, there := range filled {
		if !there {
			return nil, problem.List{{
				What: fmt.Sprintf("%s[%q] has no place in the value", setting, names[i]), Why: "another member of the map is at the same place, or around it, or within it",
				Fix: "give each its own place, such as stock.count and stock.unit",
			}}
		}
	}
	return f, nil
}
