package operate

import (
	"fmt"
	"strconv"
	"strings"

	"freshet/shared/exchange"
)

// Report is a comparison for people: what was counted for each table, what could not be compared, some of the keys that differ, and the verdict
// in the last line.
func Report(v Verification) string {
	var b strings.Builder
	b.WriteString(counts(v))
	said := b.Len()
	for _, t := range v.Tables {
		b.WriteString(findings(t))
	}
	if b.Len() > said {
		b.WriteString("\n")
	}
	return b.String() + Verdict(v) + "\n"
}

// counts is the table of numbers. What is zero for all tables and not usual has no column.
func counts(v Verification) string {
	usual := func(VerifiedTable) bool { return true }
	columns := []struct {
		title string
		of    func(VerifiedTable) int64
		shown func(VerifiedTable) bool
	}{
		{"rows", func(t VerifiedTable) int64 { return t.Rows }, usual},
		{"keys", func(t VerifiedTable) int64 { return t.Keys }, usual},
		{"match", func(t VerifiedTable) int64 { return t.Match }, usual},
		{"missing", func(t VerifiedTable) int64 { return t.Missing }, usual},
		{"stale", func(t VerifiedTable) int64 { return t.Stale }, usual},
		{"orphan", func(t VerifiedTable) int64 { return t.Orphan }, usual},
		{"absent", func(t VerifiedTable) int64 { return t.Absent }, func(t VerifiedTable) bool { return t.Absent > 0 }},
		{"repaired", func(t VerifiedTable) int64 { return t.Repaired }, func(VerifiedTable) bool { return v.Repair }},
		{"unsettled", func(t VerifiedTable) int64 { return t.Unsettled }, func(t VerifiedTable) bool { return t.Unsettled > 0 }},
	}
	sheet := sheet{{"table"}}
	for _, t := range v.Tables {
		sheet = append(sheet, []string{printable(t.Table)})
	}
	for _, c := range columns {
		shown := false
		for _, t := range v.Tables {
			shown = shown || c.shown(t)
		}
		if !shown {
			continue
		}
		sheet[0] = append(sheet[0], c.title)
		for i, t := range v.Tables {
			sheet[i+1] = append(sheet[i+1], count(c.of(t)))
		}
	}
	return sheet.text("l" + strings.Repeat("r", len(columns)))
}

// findings are the examples and notes of one table; nothing when it has none.
func findings(t VerifiedTable) string {
	var b strings.Builder
	say := func(what, text string) { fmt.Fprintf(&b, "  %-8s %s\n", what, text) }
	total := map[exchange.DifferenceKind]int64{exchange.Missing: t.Missing, exchange.Stale: t.Stale, exchange.Orphan: t.Orphan}
	for _, kind := range []exchange.DifferenceKind{exchange.Missing, exchange.Stale, exchange.Orphan} {
		shown := int64(0)
		for _, e := range t.Examples {
			if e.Kind == kind {
				say(string(kind), printable(e.Key))
				shown++
			}
		}
		if more := total[kind] - shown; shown > 0 && more > 0 {
			say("", "and "+count(more)+" more")
		}
	}
	for _, note := range t.Notes {
		say("note", printable(note))
	}
	if b.Len() == 0 {
		return ""
	}
	return "\n" + printable(t.Table) + "\n" + b.String()
}

// Verdict says in one line what a comparison came to.
func Verdict(v Verification) string {
	wrong, repaired, noted := v.Wrong(), int64(0), false
	for _, t := range v.Tables {
		repaired += t.Repaired
		noted = noted || len(t.Notes) > 0
	}
	differ := plural(wrong, "1 key differs", count(wrong)+" keys differ")
	var more []string
	if v.Sample > 0 && v.Sample < 1 {
		more = append(more, "in a sample of "+strconv.FormatFloat(v.Sample*100, 'g', 6, 64)+"%")
	}
	if repaired > 0 {
		more = append(more, plural(repaired, "1 key was", count(repaired)+" keys were")+" repaired")
	}
	if v.State != VerifyDone {
		return strings.Join(append([]string{"not finished (" + string(v.State) + "): " + differ + " so far"}, more...), ", ")
	}
	if noted {
		more = append(more, "as far as could be compared: see the notes")
	}
	if n := v.Unsettled(); n > 0 {
		more = append(more, "nothing can be said of "+amount(n, "row")+" that changed at every look")
	}
	verdict := differ
	if wrong == 0 {
		verdict = "equal"
		if v.Unsettled() > 0 {
			verdict = "not known to be equal"
		}
	}
	return strings.Join(append([]string{verdict}, more...), ", ")
}

// List is the backfills of all tables for people.
func List(all []Backfill) string {
	sheet := sheet{{"table", "state", "rows", "of about", "per second", "left", "cause", "where"}}
	for _, b := range all {
		p := b.Progress()
		of := ""
		if b.Total >= 0 && !p.Over {
			of = count(b.Total)
		}
		perSecond := strings.TrimSuffix(p.rate(), "/s")
		sheet = append(sheet, []string{p.Table, p.Step, count(b.Rows), of, perSecond, strings.TrimSuffix(p.left(), " left"), string(b.Cause), printable(b.Where)})
	}
	return sheet.text("llrrrrll")
}

// sheet is rows of cells; the first has the titles.
type sheet [][]string

// text aligns the columns to the left or right, and leaves out those that have nothing below their title.
func (s sheet) text(align string) string {
	lines := make([]string, len(s))
	for column := range s[0] {
		width, empty := 0, len(s) > 1
		for i, cells := range s {
			width = max(width, breadth(cells[column]))
			empty = empty && (i == 0 || cells[column] == "")
		}
		if empty {
			continue
		}
		for i, cells := range s {
			if column > 0 {
				lines[i] += "  "
			}
			lines[i] += pad(cells[column], width, align[column] == 'r')
		}
	}
	var b strings.Builder
	for _, line := range lines {
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}
