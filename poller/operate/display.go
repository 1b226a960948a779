package operate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"freshet/shared/problem"
)

// Display shows how far tables have come: bars in place on a terminal, lines elsewhere.
type Display struct {
	Out io.Writer
	// Size is that of the terminal; nil when Out is none.
	Size func() (width, height int)

	drawn int      // lines on the terminal that are ours
	frame []string // without what was added to it
	said  map[string]said
	paces map[string]*pace // by table and step
}

// said is what was last told of a table.
type said struct {
	step string
	at   time.Time
}

const (
	firstLook = 100 * time.Millisecond
	// mostPause lies between two looks; on a terminal half of it does.
	mostPause = time.Second
	// lineEvery is how often a table that moves gets a line.
	lineEvery = 5 * time.Second
	// mostSilence is how long a poller that does not answer is waited for: it may be being restarted.
	mostSilence = time.Minute
)

// Follow looks again and again, and shows what it sees, until over. A poller that has stopped answering is waited for.
func (d *Display) Follow(ctx context.Context, look func(context.Context) (tables []Progress, over bool, err error)) error {
	most := mostPause
	if d.Size != nil {
		most /= 2
	}
	var silent time.Time
	for pause := firstLook; ; pause = min(2*pause, most) {
		tables, over, err := look(ctx)
		now := time.Now()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil:
			silent = time.Time{}
			d.Show(now, tables)
			if over {
				return nil
			}
		case passing(err) == nil:
			return err
		case silent.IsZero():
			silent = now
			d.add(passing(err).What + "; waiting")
		case now.Sub(silent) >= mostSilence:
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// passing is trouble that may pass by itself; nil when err is none.
func passing(err error) *problem.Error {
	var trouble *problem.Error
	if errors.As(err, &trouble) && trouble.Transient {
		return trouble
	}
	return nil
}

// Show shows what was seen at this time.
func (d *Display) Show(now time.Time, tables []Progress) {
	tables = d.measure(now, tables)
	if d.Size == nil {
		d.tell(now, tables)
		return
	}
	d.frame = Frame(tables, d.width(), d.height())
	d.draw(d.frame)
}

// Clear takes away what a terminal shows, before something else is printed that says more.
func (d *Display) Clear() {
	if d.Size != nil {
		d.draw(nil)
	}
}

func (d *Display) width() int  { width, _ := d.Size(); return width }
func (d *Display) height() int { _, height := d.Size(); return height }

// add says something beside the tables.
func (d *Display) add(text string) {
	if d.Size == nil {
		fmt.Fprintln(d.Out, text)
		return
	}
	d.draw(append(slices.Clone(d.frame), cut(text, d.width()-1)))
}

func (d *Display) draw(lines []string) {
	fmt.Fprint(d.Out, redraw(d.drawn, lines))
	d.drawn = len(lines)
}

// tell prints a line for each table that has come to another step, or has moved for a while. That it waits goes without saying in the beginning.
func (d *Display) tell(now time.Time, tables []Progress) {
	if d.said == nil {
		d.said = make(map[string]said)
	}
	for _, p := range tables {
		step := fmt.Sprint(p.Step, p.Still)
		last, known := d.said[p.Table]
		switch {
		case !known && !p.Moving && !p.Over && p.Step == "waiting":
			d.said[p.Table] = said{step: step, at: now}
		case !known, last.step != step, p.Moving && !p.Still && now.Sub(last.at) >= lineEvery:
			d.said[p.Table] = said{step: step, at: now}
			fmt.Fprintln(d.Out, p.Line())
		}
	}
}

// measure fills in the pace, where the poller does not tell it, and who stands still.
func (d *Display) measure(now time.Time, tables []Progress) []Progress {
	if d.paces == nil {
		d.paces = make(map[string]*pace)
	}
	measured := slices.Clone(tables)
	for i := range measured {
		p := &measured[i]
		id := p.Table + " " + p.Step
		if !p.Moving {
			delete(d.paces, id)
			continue
		}
		if d.paces[id] == nil {
			d.paces[id] = &pace{}
		}
		d.paces[id].add(now, p.Done)
		if p.PerSecond <= 0 {
			p.PerSecond = d.paces[id].perSecond()
		}
		p.Still = d.paces[id].still(now)
	}
	return measured
}
