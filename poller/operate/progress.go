package operate

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"freshet/shared/change"
)

// Progress is how far one table's backfill or comparison has come, as it is shown to a person.
type Progress struct {
	Table     string
	Step      string // a word: waiting, reading, paused, done
	Done      int64  // of Unit
	Total     int64  // about; -1 while nobody knows
	Unit      string // rows or keys
	PerSecond float64
	Note      string // what has come of it: "3 keys removed"
	Moving    bool   // Done is expected to grow
	Still     bool   // it is expected to, but has not for a while
	Over      bool   // nothing more will happen
	Took      time.Duration
}

const (
	rows = "rows"
	keys = "keys"
)

// Progress shows a backfill.
func (b Backfill) Progress() Progress {
	p := Progress{Table: printable(b.Table), Step: b.step(), Done: b.Rows, Total: b.Total, Unit: rows, PerSecond: b.RowsPerSecond, Over: !b.State.Active()}
	p.Moving = !p.Over && !b.Paused && b.State != change.BackfillPending
	if b.State == change.BackfillSweeping {
		p.Done, p.Total, p.Unit, p.PerSecond = b.Keys, -1, keys, 0
	}
	if b.Swept > 0 {
		p.Note = amount(b.Swept, "key") + " removed"
	}
	if p.Over && !b.Began.IsZero() && !b.Ended.IsZero() {
		p.Took = b.Ended.Sub(b.Began)
	}
	return p
}

func (b Backfill) step() string {
	if b.Paused && b.State.Active() {
		return "paused"
	}
	switch b.State {
	case change.BackfillClear:
		return "clearing"
	case change.BackfillPending:
		return "waiting"
	case change.BackfillRunning:
		return "reading"
	}
	return string(b.State)
}

// Progress shows a comparison, table by table.
func (v Verification) Progress() (all []Progress) {
	for _, t := range v.Tables {
		p := Progress{Table: printable(t.Table), Done: t.Rows, Total: t.Total, Unit: rows}
		p.Over = t.Step == StepDone || v.State != VerifyRunning
		p.Moving = !p.Over && t.Step != StepWaiting
		switch t.Step {
		case StepWaiting, StepDone:
			p.Step = string(t.Step)
		case StepKeys:
			p.Step, p.Done, p.Total, p.Unit = "looking for orphans", t.Keys, -1, keys
		case StepAgain:
			p.Step = "looking again"
		default:
			p.Step = "comparing"
		}
		if p.Over && t.Step != StepDone && v.State != VerifyDone {
			p.Step = string(v.State) // what it was doing when it was cancelled, or failed
		}
		if n := t.Wrong(); n > 0 {
			p.Note = count(n) + " differ"
		}
		all = append(all, p)
	}
	return all
}

// Line tells all of it in one line.
func (p Progress) Line() string {
	done := amount(p.Done, strings.TrimSuffix(p.Unit, "s"))
	if p.Total >= 0 && !p.Over {
		done = count(p.Done) + " of about " + amount(p.Total, strings.TrimSuffix(p.Unit, "s"))
	}
	parts := []string{p.Step, p.percent(), done, p.rate(), p.left(), p.Note}
	if p.Over {
		parts = []string{p.tail(), done, p.Note}
	}
	if p.Still {
		parts = slices.Insert(parts, 1, "stands still")
	}
	parts = slices.DeleteFunc(parts, func(part string) bool { return part == "" })
	return p.Table + ": " + strings.Join(parts, ", ")
}

// percent is empty while it cannot be told. Since totals are estimates, 100% is kept for the end.
func (p Progress) percent() string {
	switch {
	case p.Over && p.Step == "done":
		return "100%"
	case p.Total < 0, p.Total == 0 && p.Done == 0:
		return ""
	}
	return fmt.Sprintf("%d%%", int(p.share()*100))
}

// share is between 0 and 1.
func (p Progress) share() float64 {
	switch {
	case p.Over && p.Step == "done":
		return 1
	case p.Total <= 0:
		return 0
	}
	return min(0.99, float64(p.Done)/float64(p.Total))
}

func (p Progress) rate() string {
	switch {
	case !p.Moving || p.PerSecond <= 0:
		return ""
	case p.PerSecond < 10:
		return strconv.FormatFloat(p.PerSecond, 'f', 1, 64) + "/s"
	}
	return count(int64(p.PerSecond+0.5)) + "/s"
}

func (p Progress) left() string {
	d, ok := remaining(p.Done, p.Total, p.PerSecond)
	if !ok || !p.Moving || p.Still {
		return ""
	}
	return span(max(d.Round(time.Second), time.Second)) + " left"
}

// tail is what is most worth knowing beside a bar.
func (p Progress) tail() string {
	switch left := p.left(); {
	case p.Still:
		return "stands still"
	case left != "":
		return left
	case p.Over && p.Took > 0:
		return p.Step + " in " + span(p.Took)
	}
	return p.Step
}

// Summary counts the tables by what is being done about them: what moves first, what is over last.
func Summary(all []Progress) string {
	rank := func(p Progress) int {
		switch {
		case p.Moving:
			return 0
		case p.Over:
			return 2
		}
		return 1
	}
	sorted := slices.Clone(all)
	slices.SortStableFunc(sorted, func(a, b Progress) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Step, b.Step))
	})
	var parts []string
	for i := 0; i < len(sorted); {
		n := i
		for n < len(sorted) && sorted[n].Step == sorted[i].Step {
			n++
		}
		parts = append(parts, count(int64(n-i))+" "+sorted[i].Step)
		i = n
	}
	return amount(int64(len(all)), "table") + ": " + strings.Join(parts, ", ")
}

// count writes 1234567 as 1,234,567.
func count(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// amount writes "1 row" and "2 rows".
func amount(n int64, of string) string {
	return plural(n, "1 "+of, count(n)+" "+of+"s")
}

func plural(n int64, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// span writes a duration with as much of it as matters.
func span(d time.Duration) string {
	switch {
	case d < 10*time.Second-50*time.Millisecond:
		return strconv.FormatFloat(d.Round(100*time.Millisecond).Seconds(), 'f', -1, 64) + "s"
	case d < time.Minute-500*time.Millisecond:
		return fmt.Sprintf("%.0fs", d.Seconds())
	case d < time.Hour-500*time.Millisecond:
		d = d.Round(time.Second)
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour-30*time.Second:
		d = d.Round(time.Minute)
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	d = d.Round(time.Hour)
	return fmt.Sprintf("%dd%02dh", int(d.Hours())/24, int(d.Hours())%24)
}

// printable spells text such that a terminal only shows it, whatever is in it.
func printable(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(text)
	}
	return text
}
