// Package config turns the environment into a struct, once, at start. A setting is declared where the code obeys it; its
// tags are its documentation:
//
//	default:"8"       the value when the variable is not set
//	needed:"true"     the variable must be set, and not empty
//	bare:"true"       the variable has no prefix (PORT, DATABASE_URL: names that platforms give)
//	desc:"..."        one sentence for the settings table
//
// Structs are composed by embedding; embedded structs share the prefix.
package config

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"sort"
	"strings"
	"text/template"

	"github.com/kelseyhightower/envconfig"

	"freshet/shared/problem"
)

// ExitCode is what a program answers when its settings are wrong.
const ExitCode = 2

// Validator is a struct of settings that can check itself.
type Validator interface{ Validate() problem.List }

// Load fills the struct that into points to from the variables that begin with prefix, and reports every missing,
// malformed, misspelt or contradictory one together as a problem.List. Values of variables are not quoted in it where they could be secrets.
func Load(prefix string, into any) error {
	found, fields := read(prefix, into)
	return append(found, misspelt(prefix, fields, os.Environ())...).OrNil()
}

// LoadPart is Load for a command that needs a few of a program's settings: what else is set under the prefix is not its business.
func LoadPart(prefix string, into any) error {
	found, _ := read(prefix, into)
	return found.OrNil()
}

func read(prefix string, into any) (found problem.List, fields []leaf) {
	var reported []string
	fields = leaves(prefix, reflect.ValueOf(into).Elem())
	for _, f := range fields {
		if e := f.load(); e != nil {
			found, reported = append(found, e), append(reported, f.name)
		}
	}
	if v, ok := into.(Validator); ok {
		found = append(found, about(v.Validate(), reported)...)
	}
	return found, fields
}

// about leaves out what is said of variables that were reported already: their fields hold nothing.
func about(found problem.List, reported []string) (rest problem.List) {
	for _, e := range found {
		if !slices.ContainsFunc(reported, func(name string) bool { return strings.Contains(e.What, name) }) {
			rest = append(rest, e)
		}
	}
	return rest
}

// leaf is one setting: a field and the variable that sets it.
type leaf struct {
	prefix string
	name   string // of the variable
	value  reflect.Value
	field  reflect.StructField
}

func leaves(prefix string, s reflect.Value) []leaf {
	var all []leaf
	for i := range s.NumField() {
		field := s.Type().Field(i)
		switch {
		case field.Anonymous && field.Type.Kind() == reflect.Struct:
			all = append(all, leaves(prefix, s.Field(i))...)
		case field.IsExported():
			f := leaf{prefix: prefix, value: s.Field(i), field: field}
			if field.Tag.Get("bare") == "true" {
				f.prefix = ""
			}
			f.name = f.key()
			all = append(all, f)
		}
	}
	return all
}

// single makes a struct of this field alone, so that envconfig can process one variable at a time.
func (f leaf) single() reflect.Value {
	return reflect.New(reflect.StructOf([]reflect.StructField{f.field}))
}

// keys writes the names of a struct's variables. It is parsed once: there are dozens of settings, and a program that starts is waited for.
var keys = template.Must(template.New("keys").Parse(`{{range .}}{{.Key}}{{end}}`))

// key asks envconfig what it calls the variable.
func (f leaf) key() string {
	var b strings.Builder
	if err := envconfig.Usaget(f.prefix, f.single().Interface(), &b, keys); err != nil {
		panic(err) // a struct of ours that envconfig cannot read
	}
	return b.String()
}

func (f leaf) load() *problem.Error {
	name, tag := f.name, f.field.Tag
	if text, set := os.LookupEnv(name); tag.Get("needed") == "true" && strings.TrimSpace(text) == "" {
		why := "it is not set"
		if set {
			why = "it is empty"
		}
		return &problem.Error{What: name + " is needed", Why: why, Fix: "set it: " + tag.Get("desc")}
	}
	if text, set := os.LookupEnv(name); set && text == "" && f.field.Type.Kind() != reflect.String {
		return &problem.Error{What: name + " is empty", Why: "it holds " + f.kind(), Fix: "set a value or remove the variable"}
	}
	box := f.single()
	err := envconfig.Process(f.prefix, box.Interface())
	var parse *envconfig.ParseError
	if errors.As(err, &parse) {
		return &problem.Error{
			What: fmt.Sprintf("%s is not %s", name, f.kind()),
			Why:  fmt.Sprintf("its value is %q", parse.Value),
			Fix:  "set it to " + example(f) + ": " + tag.Get("desc"),
		}
	}
	if err != nil {
		return &problem.Error{What: name + " cannot be read", Why: err.Error()}
	}
	f.value.Set(box.Elem().Field(0))
	return nil
}

// kind says in words what a variable holds.
func (f leaf) kind() string {
	switch t := f.field.Type; {
	case t.String() == "time.Duration":
		return "a duration"
	case t.String() == "slog.Level":
		return "a log level"
	case t.Kind() == reflect.Bool: // Switch too
		return "on or off"
	case t == reflect.TypeFor[Bytes]():
		return "a size"
	case t.Kind() >= reflect.Int && t.Kind() <= reflect.Uint64:
		return "a whole number"
	case t.Kind() == reflect.Slice:
		return "a list"
	}
	return "text"
}

func example(f leaf) string {
	if d := f.field.Tag.Get("default"); d != "" {
		return "something like " + d
	}
	if f.field.Type.String() == "time.Duration" {
		return "something like 5s"
	}
	return f.kind()
}

// serviceLink matches what Kubernetes injects for a Service whose name begins like our prefix: "fn", "fn-metrics".
// https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
var serviceLink = regexp.MustCompile(`(^|_)(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT_\d+_(TCP|UDP|SCTP)(_.*)?)$`)

func isServiceLink(rest, value string) bool {
	return serviceLink.MatchString(rest) || strings.HasSuffix("_"+rest, "_PORT") && strings.Contains(value, "://")
}

func misspelt(prefix string, fields []leaf, environ []string) (found problem.List) {
	known := make(map[string]bool, len(fields))
	for _, f := range fields {
		known[f.name] = true
	}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		rest, ours := strings.CutPrefix(name, prefix+"_")
		if !ours || known[name] || isServiceLink(rest, value) {
			continue
		}
		e := &problem.Error{What: name + " is not a setting", Why: "no setting has this name", Fix: "remove it; the settings are listed in CONFIG.md"}
		if near := problem.Nearest(name, maps.Keys(known)); near != "" {
			e.Fix = "did you mean " + near + "?"
		}
		found = append(found, e)
	}
	sort.Slice(found, func(i, j int) bool { return found[i].What < found[j].What })
	return found
}
