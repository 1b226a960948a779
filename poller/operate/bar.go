package operate

import (
	"fmt"
	"slices"
	"strings"
)

const (
	leastBar = 10
	mostBar  = 40
	// mostTables is how many tables have a line of their own, however high the terminal is.
	mostTables = 12
)

// Frame is what a terminal of this size shows of the tables: a bar for each and a line that counts them; where there are too many, bars for
// those that move alone. No line is as wide as the terminal, so that none is wrapped.
func Frame(all []Progress, width, height int) []string {
	shown := all
	if room := max(1, min(height-2, mostTables)); len(all) > room {
		shown = moving(all, room)
	}
	lines := bars(shown, width-1)
	if len(all) > 1 {
		lines = append(lines, cut(Summary(all), width-1))
	}
	return lines
}

func moving(all []Progress, room int) []Progress {
	shown := slices.DeleteFunc(slices.Clone(all), func(p Progress) bool { return !p.Moving })
	return shown[:min(room, len(shown))]
}

// column is a piece of text beside a bar.
type column struct {
	text  func(Progress) string
	right bool // aligned, as numbers are
}

var (
	percentColumn = column{Progress.percent, true}
	ofColumn      = column{func(p Progress) string {
		if p.Total < 0 || p.Over {
			return count(p.Done) + " " + p.Unit
		}
		return count(p.Done) + " of " + count(p.Total) + " " + p.Unit
	}, true}
	doneColumn = column{func(p Progress) string { return count(p.Done) + " " + p.Unit }, true}
	rateColumn = column{Progress.rate, true}
	tailColumn = column{Progress.tail, false}
	noteColumn = column{func(p Progress) string { return p.Note }, false}
)

type layout struct {
	bar     bool
	columns []column
}

// layouts go from wide to narrow.
var layouts = []layout{
	{true, []column{percentColumn, ofColumn, rateColumn, tailColumn, noteColumn}},
	{true, []column{percentColumn, doneColumn, rateColumn, tailColumn, noteColumn}},
	{true, []column{percentColumn, doneColumn, tailColumn, noteColumn}},
	{false, []column{percentColumn, doneColumn, tailColumn, noteColumn}},
	{false, []column{percentColumn, tailColumn, noteColumn}},
	{false, []column{percentColumn, tailColumn}},
}

// bars draws one line a table, with everything below each other, in the first layout that fits; names are cut only when none does.
func bars(all []Progress, width int) (lines []string) {
	whole := 0
	for _, p := range all {
		whole = max(whole, breadth(p.Table))
	}
	for _, name := range []int{whole, min(whole, max(12, width/3))} {
		for _, l := range layouts {
			var fits bool
			if lines, fits = l.draw(all, name, width); fits {
				return lines
			}
		}
	}
	for i := range lines {
		lines[i] = cut(lines[i], width)
	}
	return lines
}

func (l layout) draw(all []Progress, name, width int) (lines []string, fits bool) {
	texts, used := grid(all, l.columns)
	bar := min(mostBar, width-name-used-len("  []"))
	for i, p := range all {
		line := pad(cutFront(p.Table, name), name, false)
		if l.bar && bar >= leastBar {
			line += "  " + p.bar(bar)
		}
		lines = append(lines, strings.TrimRight(line+texts[i], " "))
	}
	return lines, name+used <= width && (!l.bar || bar >= leastBar)
}

// grid is the columns of each line, each as wide as its widest text and two blanks; empty columns take no place.
func grid(all []Progress, columns []column) (texts []string, used int) {
	texts = make([]string, len(all))
	for _, c := range columns {
		width := 0
		for _, p := range all {
			width = max(width, breadth(c.text(p)))
		}
		if width == 0 {
			continue
		}
		used += 2 + width
		for i, p := range all {
			texts[i] += "  " + pad(c.text(p), width, c.right)
		}
	}
	return texts, used
}

// bar is a bar, or dashes while the share is not known.
func (p Progress) bar(width int) string {
	if p.percent() == "" && p.Moving {
		return "[" + strings.Repeat("-", width) + "]"
	}
	full := int(p.share() * float64(width))
	return "[" + strings.Repeat("#", full) + strings.Repeat(".", width-full) + "]"
}

func pad(text string, width int, right bool) string {
	blanks := strings.Repeat(" ", max(0, width-breadth(text)))
	if right {
		return blanks + text
	}
	return text + blanks
}

// breadth is how many columns of a terminal text takes; most letters from Hangul and beyond take two.
func breadth(text string) (n int) {
	for _, r := range text {
		n++
		if r >= 0x1100 && r != '…' {
			n++
		}
	}
	return n
}

const ellipsis = "…"

func cut(text string, width int) string {
	if breadth(text) <= width {
		return text
	}
	runes := []rune(text)
	for len(runes) > 0 && breadth(string(runes)) >= width {
		runes = runes[:len(runes)-1]
	}
	return string(runes) + ellipsis
}

// cutFront keeps the end, which tells tables apart better than the beginning.
func cutFront(text string, width int) string {
	if breadth(text) <= width {
		return text
	}
	runes := []rune(text)
	for len(runes) > 0 && breadth(string(runes)) >= width {
		runes = runes[1:]
	}
	return ellipsis + string(runes)
}

// redraw is what makes a terminal show lines in the place of those drawn before.
func redraw(before int, lines []string) string {
	var b strings.Builder
	if before > 0 {
		fmt.Fprintf(&b, "\x1b[%dA\r", before)
	}
	for _, line := range lines {
		b.WriteString(line + "\x1b[K\n")
	}
	b.WriteString("\x1b[J")
	return b.String()
}
