package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"freshet/poller/sink"
	"freshet/shared/exchange"
	"freshet/shared/problem"
)

const deadLettersUsage = `usage: poller dead-letters list
       poller dead-letters show ID
       poller dead-letters replay ID... | --all
       poller dead-letters drop ID... | --all

Messages that could not be written are kept by the function, in the Redis stream freshet:SINK:dead. replay writes them by the rules of now,
unless something newer came for their keys since; drop forgets them.
`

// letters is an operator's view of the dead letters of a sink.
type letters struct {
	client *sink.Client
	sink   string
	out    io.Writer
}

func deadLetters(ctx context.Context, args []string, out io.Writer) error {
	do := ""
	if len(args) > 0 {
		do, args = args[0], args[1:]
	}
	all := slices.Equal(args, []string{"--all"})
	switch {
	case do == "help" || do == "-h" || do == "--help":
		fmt.Fprint(out, deadLettersUsage)
		return nil
	case do == "list" && len(args) == 0, do == "show" && len(args) == 1 && !all, (do == "replay" || do == "drop") && len(args) > 0 && (all || !slices.ContainsFunc(args, isFlag)):
	default:
		return wrongUsage(fmt.Sprintf("dead-letters cannot do %q", append([]string{do}, args...)), "", "poller dead-letters help says what it can")
	}
	c, err := settings()
	if err != nil {
		return err
	}
	l := letters{client: sink.NewClient(c.Sink.Config, 1, nil), sink: c.Sink.Sink, out: out}
	switch do {
	case "list":
		return l.list(ctx)
	case "show":
		return l.show(ctx, args[0])
	}
	ask := exchange.DeadLettersRequest{Sink: l.sink, Do: do, All: all}
	if !all {
		ask.IDs = args
	}
	return l.settle(ctx, ask)
}

func isFlag(arg string) bool { return strings.HasPrefix(arg, "-") }

func (l letters) list(ctx context.Context) error {
	all, a := l.client.DeadLetters(ctx, l.sink)
	if a.Outcome != exchange.Settled {
		return a.Problem
	}
	if len(all) == 0 {
		fmt.Fprintln(l.out, "no dead letters")
		return nil
	}
	table := tabwriter.NewWriter(l.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tSINCE\tTABLE\tKEY\tREPLAY\tREASON")
	for _, d := range all {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", d.ID, d.Time.Format(time.DateTime), orDash(d.Table), orDash(short(strings.Join(d.Keys, " "))), state(d), d.Reason)
	}
	return table.Flush()
}

// state says in a word whether a letter can be written.
func state(d exchange.DeadLetter) string {
	switch {
	case d.KeyOnly:
		return "no: row not kept"
	case len(d.Keys) == 0:
		return "no: key unknown"
	case !d.Replayable:
		return "no: newer came"
	}
	return "yes"
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// short keeps a line a line.
func short(text string) string {
	const most = 80
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "..."
}

func (l letters) show(ctx context.Context, id string) error {
	d, ok, a := l.client.DeadLetter(ctx, l.sink, id)
	if a.Outcome != exchange.Settled {
		return a.Problem
	}
	if !ok {
		return &problem.Error{What: fmt.Sprintf("there is no dead letter %q", id), Fix: "poller dead-letters list names them"}
	}
	fmt.Fprintf(l.out, "id        %s\nsince     %s\ntable     %s\nkeys      %s\nlane      %d\nposition  %s\nreplay    %s\nreason    %s\n", d.ID, d.Time.Format(time.RFC3339Nano), orDash(d.Table),
		orDash(strings.Join(d.Keys, " ")), d.Lane, orDash(d.Position), state(d), d.Reason)
	var message bytes.Buffer
	if err := json.Indent(&message, d.Message, "", "  "); err == nil {
		fmt.Fprintf(l.out, "message\n%s\n", message.Bytes())
	}
	return nil
}

func (l letters) settle(ctx context.Context, ask exchange.DeadLettersRequest) error {
	done, a := l.client.SettleDeadLetters(ctx, ask)
	if a.Outcome != exchange.Settled {
		return a.Problem
	}
	verb := map[string]string{exchange.ReplayLetters: "written", exchange.DropLetters: "dropped"}[ask.Do]
	fmt.Fprintf(l.out, "%d dead letters %s\n", done.Done, verb)
	var left problem.List
	for _, one := range done.Left {
		left = append(left, &problem.Error{What: "dead letter " + one.ID + " is left as it is", Why: one.Why})
	}
	return left.OrNil()
}
