package rules_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"freshet/functions/effect"
	"freshet/functions/rules"
	"freshet/shared/change"
	"freshet/shared/config"
	"freshet/shared/exchange"
)

// Each file of testdata tells of one behaviour, and README.md's examples are told in the same form:
//
//	# a remark
//	FN_KEY=product:{record.sku}           a setting; quotes of a shell may stand around it, and it goes on in lines that begin with a blank
//	table products (id*, sku) tells sku   the columns, those of the primary key with *; and of which the old values are told. Else the key is id
//	> update products {...} was {...}     a message: action, table, record, and the old values of what was changed
//	SET product:A {"id":1}                the commands that it comes to, or "nothing: " and why, or "poison: " and why
//	plan products                         what the poller is told of a table, in the lines that follow; or "refused: " and why
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { play(t, string(text)) })
	}
}

func TestReadme(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	const fence = "```"
	seen := 0
	for i, block := range strings.Split(string(text), fence) {
		if !strings.Contains(block, "\n> ") || !strings.Contains(block, "FN_") {
			continue
		}
		seen++
		_, block, _ = strings.Cut(block, "\n") // behind the name of a language
		t.Run(fmt.Sprint(i), func(t *testing.T) { play(t, block) })
	}
	if seen < 5 {
		t.Errorf("README.md has only %d examples of rules", seen)
	}
}

// script is one that is being played.
type script struct {
	*testing.T
	rules  *rules.Rules
	shapes map[string]exchange.TableShape
}

// step is a line with what is expected of it.
type step struct {
	said string
	want []string
}

func play(t *testing.T, text string) {
	s := &script{T: t, shapes: map[string]exchange.TableShape{}}
	var steps []step
	setting := ""
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(line, "FN_"):
			setting, _, _ = strings.Cut(line, "=")
			s.Setenv(setting, unquoted(line[len(setting)+1:]))
		case strings.HasPrefix(line, " ") && setting != "":
			s.Setenv(setting, unquoted(os.Getenv(setting)+"\n"+line))
		case strings.HasPrefix(line, "table "):
			s.table(line[len("table "):])
		case strings.HasPrefix(line, "> "), strings.HasPrefix(line, "plan "):
			steps, setting = append(steps, step{said: line}), ""
		case line == "" || line[0] == '#':
		case len(steps) == 0:
			t.Fatalf("what is %q?", line)
		default:
			last := &steps[len(steps)-1]
			last.want = append(last.want, line)
		}
	}
	var c rules.Config
	if err := config.Load("FN", &c); err != nil {
		t.Fatal(err)
	}
	s.rules = compile(t, c)
	if len(steps) == 0 {
		t.Fatal("nothing happens")
	}
	for _, step := range steps {
		got := s.do(step.said)
		for i := range got { // a reason may be told by its beginning
			if i < len(step.want) && strings.HasSuffix(step.want[i], "...") && strings.HasPrefix(got[i], strings.TrimSuffix(step.want[i], "...")) {
				got[i] = step.want[i]
			}
		}
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("%s\n%s", step.said, diff)
		}
	}
}

// unquoted is a value without the quotes that a shell needs.
func unquoted(text string) string {
	if len(text) > 1 && text[0] == '\'' && strings.HasSuffix(text, "'") {
		return text[1 : len(text)-1]
	}
	return text
}

// table reads "products (id*, sku) tells sku".
func (s *script) table(text string) {
	name, rest, _ := strings.Cut(text, " (")
	list, tells, _ := strings.Cut(rest, ")")
	of, err := change.ParseTable(name)
	if err != nil {
		s.Fatal(err)
	}
	shape := exchange.TableShape{Schema: of.Schema, Name: of.Name}
	for column := range strings.SplitSeq(list, ", ") {
		bare := strings.TrimSuffix(column, "*")
		shape.Columns = append(shape.Columns, bare)
		if bare != column {
			shape.PrimaryKey = append(shape.PrimaryKey, bare)
		}
	}
	if _, names, told := strings.Cut(tells, "tells "); told {
		shape.OldColumns = strings.Split(names, ", ")
	}
	s.shapes[of.String()] = shape
}

func (s *script) do(said string) []string {
	if name, ok := strings.CutPrefix(said, "plan "); ok {
		return s.plan(name)
	}
	m := s.message(strings.TrimPrefix(said, "> "))
	var lines []string
	(&rules.Renderer{Rules: s.rules}).Preview(&m, effect.Limits{}, func(_ string, alone *effect.Batch, reason string, err error) {
		lines = append(lines, spell(alone)...)
		switch {
		case err != nil:
			lines = append(lines, "poison: "+err.Error())
		case len(alone.Writes)+len(alone.Clears) == 0:
			lines = append(lines, "nothing: "+reason)
		}
	})
	return lines
}

// message reads `update products {...} was {...}`.
func (s *script) message(text string) change.Message {
	action, rest, _ := strings.Cut(text, " ")
	name, record, _ := strings.Cut(rest, " ")
	record, changes, _ := strings.Cut(record, " was ")
	of, err := change.ParseTable(name)
	if err != nil {
		s.Fatal(err)
	}
	key := []string{"id"}
	if shape, known := s.shapes[of.String()]; known {
		key = shape.PrimaryKey
	}
	for _, object := range []string{record, changes} {
		if object != "" && !json.Valid([]byte(object)) {
			s.Fatalf("%s: %s is no JSON", text, object)
		}
	}
	return change.Message{Action: change.Action(action), Record: record, Changes: changes, Metadata: change.Metadata{Schema: of.Schema, Table: of.Name, PrimaryKey: key}}
}

// spell writes effects as a person would type them.
func spell(b *effect.Batch) (lines []string) {
	for _, prefix := range b.Clears {
		lines = append(lines, "DEL "+prefix+"*")
	}
	for _, w := range b.Writes {
		line := "DEL " + w.Key
		if !w.Delete {
			line = "SET " + w.Key + " " + w.Value
		}
		if w.IfThere {
			line += " XX"
		}
		if w.ExpireMS > 0 {
			line += fmt.Sprintf(" PX %d", w.ExpireMS)
		}
		lines = append(lines, line)
	}
	return lines
}

// plan spells what the poller is told of a table.
func (s *script) plan(name string) []string {
	of, err := change.ParseTable(name)
	if err != nil {
		s.Fatal(err)
	}
	shape, known := s.shapes[of.String()]
	if !known {
		s.Fatalf("no table line for %s", of)
	}
	plan, err := s.rules.Plan([]exchange.TableShape{shape})
	var lines []string
	for _, w := range plan.Warnings {
		lines = append(lines, "warning: "+w.Error().Error())
	}
	if err != nil {
		return append(lines, "refused: "+err.Error())
	}
	p := plan.Tables[of.String()]
	list := func(what string, names []string) {
		if len(names) > 0 {
			lines = append(lines, what+": "+strings.Join(names, " "))
		}
	}
	list("prefixes", p.KeyPrefixes)
	list("key columns", p.KeyColumns)
	list("used columns", p.UsedColumns)
	if p.OneLane {
		lines = append(lines, "one lane")
	}
	if p.NeedsOld {
		lines = append(lines, "old values are needed")
	}
	return lines
}
