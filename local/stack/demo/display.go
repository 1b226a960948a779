package demo

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"freshet/local/server"
	"freshet/shared/config"
	"freshet/shared/exchange"
)

// display writes for a person, at a terminal or in a pipe.
type display struct {
	mu    sync.Mutex
	out   io.Writer
	width int // of the terminal; 0 in a pipe
	lines int // of readings so far
	start time.Time
	last  reading // what the next one is compared with
}

func newDisplay(out io.Writer) *display {
	d := &display{out: out}
	if f, ok := out.(*os.File); ok {
		if size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil {
			d.width = int(size.Col)
		}
	}
	return d
}

// Write passes on what an installer says.
func (d *display) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.out.Write(p)
}

func (d *display) step(text string) { fmt.Fprintln(d, "- "+text) }

// header is over the rows: rows changed in Postgres, keys written to Redis.
const header = "  time    rows/s   messages/s   batches/s    keys/s   lag       a key read back"

// begin sets the mark from which the first row counts.
func (d *display) begin(r reading) { d.start, d.last = r.at, r }

// row shows a reading as what moved since the one before.
func (d *display) row(r reading) {
	previous := d.last
	d.last = r
	seconds := r.at.Sub(previous.at).Seconds()
	if d.lines%20 == 0 {
		fmt.Fprintln(d, "\n"+d.cut(header))
	}
	d.lines++
	per := func(now, before float64) string { return thousands(max(0, int64((now-before)/seconds+0.5))) }
	line := fmt.Sprintf("%4d s   %7s   %10s   %9s   %7s   %-7s   %s", int(r.at.Sub(d.start).Seconds()+0.5),
		per(r.changed, previous.changed), per(r.messages, previous.messages), per(r.batches, previous.batches),
		per(r.keys, previous.keys), short(r.lag), r.text())
	fmt.Fprintln(d, d.cut(line))
}

// text is the last column. The mark stands first, so that a narrow terminal does not cut it off.
func (r reading) text() string {
	switch {
	case r.trouble != nil:
		return "! " + r.trouble.Error()
	case r.sample.key == "":
		return ""
	case r.sample.equal:
		return "✓ " + r.sample.key + " = " + r.sample.value
	}
	return "… " + r.sample.key + " = " + r.sample.value
}

func (d *display) cut(line string) string {
	if d.width == 0 || utf8.RuneCountInString(line) <= d.width {
		return line
	}
	return string([]rune(line)[:d.width-1]) + "…"
}

func short(lag time.Duration) string {
	switch {
	case lag <= 0:
		return "none"
	case lag < time.Millisecond:
		return "< 1 ms"
	case lag < time.Second:
		return fmt.Sprintf("%d ms", lag.Milliseconds())
	}
	return fmt.Sprintf("%.1f s", lag.Seconds())
}

// thousands writes 1234567 as 1,234,567.
func thousands(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// warnings passes on the lines of a program's log that a person should see.
func (d *display) warnings(program string) io.Writer { return &warnings{to: d, program: program} }

type warnings struct {
	to      *display
	program string
	rest    []byte
}

func (w *warnings) Write(p []byte) (int, error) {
	w.rest = append(w.rest, p...)
	for {
		line, rest, whole := bytes.Cut(w.rest, []byte("\n"))
		if !whole {
			return len(p), nil
		}
		w.rest = rest
		if bytes.Contains(line, []byte("level=WARN")) || bytes.Contains(line, []byte("level=ERROR")) {
			fmt.Fprintf(w.to, "  %s: %s\n", w.program, line)
		}
	}
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return "  " + strings.Join(lines[max(0, len(lines)-n):], "\n  ")
}

// introduce says where everything is, and how to look for oneself.
func (d *Demo) introduce() {
	var b strings.Builder
	p := d.place
	b.WriteString("\nfreshet runs. Look for yourself:\n")
	fmt.Fprintf(&b, "  Postgres   %s\n", d.psql())
	fmt.Fprintf(&b, "  Redis      %s\n", d.redisCLI())
	fmt.Fprintf(&b, "  function   curl '%s%s?sink=%s'\n", p.functionURL(), exchange.RouteCheck, p.name("POLLER_SINK"))
	fmt.Fprintf(&b, "  poller     curl %s%s  (also %s, %s)\n", p.adminURL(), exchange.RouteMetrics, exchange.RouteHealth, exchange.RouteReady)
	fmt.Fprintf(&b, "  all keys   make build; POLLER_ADMIN_ADDR=%s bin/poller verify\n", strings.TrimPrefix(p.adminURL(), "http://"))
	if p.sells {
		fmt.Fprintf(&b, "  the shop   makes %d transactions a second; change a row of your own and read its key\n", d.options.Rate)
	}
	b.WriteString("Ctrl-C stops all of it.\n")
	fmt.Fprint(d.out, b.String())
}

// psql is the command to look at the database. A password stays out of it.
func (d *Demo) psql() string {
	if d.postgres == nil {
		return config.PrintableURL(d.place.database) + "  (yours)"
	}
	program := "psql"
	if path := d.postgres.Tool("psql"); path != "" && server.OnPath("psql") == "" {
		program = path
	}
	return fmt.Sprintf("%s '%s'", program, d.place.database)
}

func (d *Demo) redisCLI() string {
	if d.redis == nil {
		return config.PrintableURL(d.place.redis) + "  (yours)"
	}
	return fmt.Sprintf("redis-cli -p %d GET sequin:products:42", d.redis.Port)
}

// farewell names what stays in servers that are not ours.
func (d *Demo) farewell() {
	started := len(d.programs) == 2
	if !started || !d.place.foreign && d.redis != nil {
		d.out.step("stopped; nothing of it is left")
		return
	}
	d.out.step("stopped")
	if d.redis == nil {
		fmt.Fprintln(d.out, "  The keys stay in your Redis.")
	}
	if d.place.foreign {
		fmt.Fprintf(d.out, `  In your database the slot and the publication stay, so that the next start goes on from here. Until then the slot keeps WAL;
  if there is to be no next start:
    SELECT pg_drop_replication_slot('%s'); DROP PUBLICATION %s;
`, d.place.name("POLLER_SLOT"), d.place.name("POLLER_PUBLICATION"))
	}
}
