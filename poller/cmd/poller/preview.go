package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"freshet/poller"
	"freshet/shared/exchange"
	"freshet/shared/logging"
)

const previewUsage = `usage: poller preview TABLE [--limit 3] [--where 'price > 10'] [--against]

Reads some rows, asks the function what it would write for them by its rules of now, and shows it. Nothing is written. --against shows beside it
what Redis holds.
`

// mostPreviewed keeps a slip from reading a table.
const mostPreviewed = 1000

func preview(ctx context.Context, args []string, out io.Writer) error {
	ask, err := previewRequest(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(out, previewUsage)
		return nil
	case err != nil:
		return wrongUsage("poller preview cannot be understood", err.Error(), "poller preview --help shows its form")
	}
	c, err := settings()
	if err != nil {
		return err
	}
	p, err := poller.New(c, logging.New(os.Stderr, c.Logging.Config))
	if err != nil {
		return err
	}
	rows, err := p.Preview(ctx, ask)
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		fmt.Fprintln(out, "no rows")
	}
	for _, r := range rows {
		show(out, r, ask.Against)
	}
	return nil
}

// previewRequest reads the flags before and behind the name of the table.
func previewRequest(args []string) (ask poller.PreviewRequest, err error) {
	flags := flag.NewFlagSet("preview", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.IntVar(&ask.Limit, "limit", 3, "")
	flags.StringVar(&ask.Where, "where", "", "")
	flags.BoolVar(&ask.Against, "against", false, "")
	if err := flags.Parse(args); err != nil {
		return ask, err
	}
	if flags.NArg() == 0 {
		return ask, errors.New("it names no table")
	}
	ask.Table = flags.Arg(0)
	if err := flags.Parse(flags.Args()[1:]); err != nil {
		return ask, err
	}
	switch {
	case flags.NArg() > 0:
		return ask, fmt.Errorf("%q is too much", flags.Args())
	case ask.Limit < 1 || ask.Limit > mostPreviewed:
		return ask, fmt.Errorf("--limit is %d; it is 1 to %d", ask.Limit, mostPreviewed)
	}
	return ask, nil
}

// show prints what becomes of a row.
func show(out io.Writer, r poller.Previewed, against bool) {
	fmt.Fprintf(out, "row %s\n", r.PrimaryKey)
	if r.Refused != nil {
		fmt.Fprintf(out, "  refused  %s\n", r.Refused)
	}
	if r.Refused == nil && len(r.Commands) == 0 {
		fmt.Fprintln(out, "  nothing  the rules leave it out")
	}
	for _, c := range r.Commands {
		fmt.Fprintf(out, "  %-7s  %s\n", c.Command, c.Key)
		if c.Value != "" {
			fmt.Fprintf(out, "  value    %s\n", c.Value)
		}
		if c.ExpireMS > 0 {
			fmt.Fprintf(out, "  expires  in %s\n", time.Duration(c.ExpireMS)*time.Millisecond)
		}
		if c.Why != "" {
			fmt.Fprintf(out, "  why      %s\n", c.Why)
		}
		if against && (c.Command == "SET" || c.Command == "DEL") {
			fmt.Fprintf(out, "  now      %s\n", present(c))
		}
	}
}

// present is what the key holds now.
func present(c exchange.Command) string {
	switch {
	case c.Present == nil:
		return "no such key"
	case c.Command == "SET" && *c.Present == c.Value:
		return "the same"
	}
	return *c.Present
}
