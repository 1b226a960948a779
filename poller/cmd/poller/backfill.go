package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"freshet/poller/operate"
	"freshet/shared/change"
	"freshet/shared/config"
	"freshet/shared/problem"
)

// backfill starts backfills, and follows them; or does something about those that there are.
func backfill(ctx context.Context, args []string, out io.Writer) error {
	flags := newArguments("backfill")
	where := flags.String("where", "", "")
	all := flags.Bool("all", false, "")
	detach := flags.Bool("detach", false, "")
	names, err := flags.read(args)
	switch {
	case errors.Is(err, errHelp):
		return help(out)
	case err != nil:
		return err
	}
	client, err := runningPoller()
	if err != nil {
		return err
	}
	if len(names) > 0 {
		if do, ok := verbs[names[0]]; ok {
			if given := flags.given(); len(given) > 0 {
				return wrongUsage(fmt.Sprintf("backfill %s takes no flags", names[0]), strings.Join(given, ", ")+" was given", "leave it out; a table of this name is public."+names[0])
			}
			return do(ctx, client, names[1:], out)
		}
	}
	switch conditional := slices.Contains(flags.given(), "--where"); {
	case len(names) == 0 && !*all:
		return nothingNamed(ctx, client)
	case len(names) > 0 && *all:
		return wrongUsage("backfill: tables are named, and --all is given", "", "leave out one of both")
	case conditional && strings.TrimSpace(*where) == "":
		return wrongUsage("backfill: --where is empty", "", "give it a condition in SQL, such as --where 'price > 10', or leave it out")
	case conditional && len(names) != 1:
		return wrongUsage("backfill: --where needs one table", "a condition is over the columns of one table", "name one table, and start the next by itself")
	}
	// An interrupt must not leave open whether it has begun.
	started, err := client.StartBackfill(context.WithoutCancel(ctx), operate.BackfillRequest{Tables: names, All: *all, Where: *where})
	if err != nil {
		return usageOrElse(err, 1)
	}
	if *detach {
		return told(started, out)
	}
	return followBackfills(ctx, client, started, out)
}

// verbs are what can be done beside starting a backfill.
var verbs = map[string]func(ctx context.Context, client *operate.Client, names []string, out io.Writer) error{
	"list":                 list,
	string(operate.Pause):  changing(operate.Pause),
	string(operate.Resume): changing(operate.Resume),
	string(operate.Cancel): changing(operate.Cancel),
}

func list(ctx context.Context, client *operate.Client, names []string, out io.Writer) error {
	if len(names) > 0 {
		return wrongUsage("backfill list takes no names", fmt.Sprintf("%q was given", names), "leave them out; a table of this name is public.list")
	}
	all, err := client.Backfills(ctx)
	if err != nil {
		return err
	}
	_, err = io.WriteString(out, operate.List(all))
	return err
}

// changing does the same to each table, and reports every refusal.
func changing(do operate.Verb) func(context.Context, *operate.Client, []string, io.Writer) error {
	return func(ctx context.Context, client *operate.Client, names []string, out io.Writer) error {
		if len(names) == 0 {
			return wrongUsage(fmt.Sprintf("backfill %s needs the name of a table", do), "", fmt.Sprintf("poller backfill list shows them; a table of this name is public.%s", do))
		}
		var refused problem.List
		code := 1
		for _, name := range names {
			b, err := client.ChangeBackfill(ctx, name, do)
			var why *problem.Error
			switch {
			case err == nil:
				fmt.Fprintln(out, b.Progress().Line())
			case errors.As(err, &why):
				refused, code = append(refused, why), max(code, exitCode(usageOrElse(err, 1)))
			default:
				return err
			}
		}
		if len(refused) > 0 {
			return coded{refused, code}
		}
		return nil
	}
}

// nothingNamed says what could be named.
func nothingNamed(ctx context.Context, client *operate.Client) error {
	wrong := &problem.Error{What: "backfill: no table is named", Fix: "name tables, or use --all"}
	all, err := client.Backfills(ctx)
	var why *problem.Error
	switch {
	case err == nil:
		wrong.Why = "mirrored are: " + strings.Join(namesOf(all), ", ")
	case errors.As(err, &why):
		return coded{problem.List{wrong, why}, config.ExitCode}
	}
	return coded{wrong, config.ExitCode}
}

// usageOrElse gives an error the code of wrong usage when the request was wrong.
func usageOrElse(err error, code int) error {
	var refusal *operate.Refusal
	if errors.As(err, &refusal) && (refusal.Status == http.StatusBadRequest || refusal.Status == http.StatusNotFound) {
		code = config.ExitCode
	}
	return coded{err, code}
}

// told says what was started, and where to look.
func told(started []operate.Backfill, out io.Writer) error {
	for _, b := range started {
		fmt.Fprintln(out, b.Progress().Line())
	}
	fmt.Fprintln(out, "poller backfill list shows how far it is")
	return nil
}

// followBackfills shows those that were started until none of them goes on.
func followBackfills(ctx context.Context, client *operate.Client, started []operate.Backfill, out io.Writer) error {
	names, last := namesOf(started), started
	display := operate.Display{Out: out, Size: terminal(out)}
	err := display.Follow(ctx, func(ctx context.Context) (tables []operate.Progress, over bool, err error) {
		all, err := client.Backfills(ctx)
		if err != nil {
			return nil, false, err
		}
		last = slices.DeleteFunc(all, func(b operate.Backfill) bool { return !slices.Contains(names, b.Table) })
		over = true
		for _, b := range last {
			tables = append(tables, b.Progress())
			over = over && !b.State.Active()
		}
		return tables, over, nil
	})
	if err != nil {
		return leftAlone(ctx, err, last)
	}
	return notDone(names, last)
}

// leftAlone says that the poller goes on although nobody follows: an interrupt ends only the following.
func leftAlone(ctx context.Context, err error, last []operate.Backfill) error {
	left := &problem.Error{What: "the backfill is not followed any more", Fix: "poller backfill list shows it; poller backfill cancel TABLE ends it"}
	for _, b := range last {
		if b.State.Active() {
			left.Why = "the poller goes on with it by itself"
		}
	}
	var why *problem.Error
	switch {
	case ctx.Err() != nil:
		return left
	case errors.As(err, &why):
		return problem.List{why, left}
	}
	return err
}

// notDone reports the backfills that ended otherwise.
func notDone(names []string, last []operate.Backfill) error {
	var found problem.List
	for _, name := range names {
		i := slices.IndexFunc(last, func(b operate.Backfill) bool { return b.Table == name })
		switch {
		case i < 0:
			found = append(found, &problem.Error{What: name + " was not read to its end", Why: "it is not mirrored any more"})
		case last[i].State != change.BackfillDone:
			found = append(found, &problem.Error{What: name + " was not read to its end", Why: "its backfill is " + string(last[i].State), Fix: "start it again"})
		}
	}
	return found.OrNil()
}

func namesOf(all []operate.Backfill) (names []string) {
	for _, b := range all {
		names = append(names, b.Table)
	}
	return names
}
