package config

import (
	"fmt"
	"reflect"
	"strings"
)

// Setting is one row of the settings table.
type Setting struct {
	Name, Kind, Default, Description string
	Needed                           bool
}

// Settings lists what Load reads for this struct, in the order of its fields.
func Settings(prefix string, spec any) []Setting {
	var all []Setting
	for _, f := range leaves(prefix, reflect.ValueOf(spec).Elem()) {
		tag := f.field.Tag
		all = append(all, Setting{
			Name: f.name, Kind: f.kind(), Default: tag.Get("default"),
			Description: tag.Get("desc"), Needed: tag.Get("needed") == "true",
		})
	}
	return all
}

// Table is the settings as a Markdown table.
func Table(prefix string, spec any) string {
	var b strings.Builder
	b.WriteString("| variable | holds | default | |\n|---|---|---|---|\n")
	for _, s := range Settings(prefix, spec) {
		initial := "`" + s.Default + "`"
		switch {
		case s.Needed:
			initial = "**needed**"
		case s.Default == "":
			initial = ""
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", s.Name, s.Kind, initial, strings.ReplaceAll(s.Description, "|", `\|`))
	}
	return b.String()
}

// Sample is the settings as a commented env file; given has the values that are to be set in it.
func Sample(prefix string, spec any, given map[string]string) string {
	var b strings.Builder
	for _, s := range Settings(prefix, spec) {
		fmt.Fprintf(&b, "# %s\n", s.Description)
		if value, ok := given[s.Name]; ok {
			fmt.Fprintf(&b, "%s=%s\n", s.Name, value)
		} else {
			fmt.Fprintf(&b, "#%s=%s\n", s.Name, s.Default)
		}
	}
	return b.String()
}
