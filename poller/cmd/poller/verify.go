package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"freshet/poller/operate"
	"freshet/shared/problem"
)

// exitUnknown is the code when nothing can be said of whether Redis is equal.
const exitUnknown = 3

// verify has a comparison made, follows it, and prints what it came to. Progress goes to stderr, so that the report can be kept.
func verify(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := newArguments("verify")
	var sample share
	flags.Var(&sample, "sample", "")
	repair := flags.Bool("repair", false, "")
	examples := flags.Int("examples", 5, "")
	asJSON := flags.Bool("json", false, "")
	names, err := flags.read(args)
	switch {
	case errors.Is(err, errHelp):
		return help(stdout)
	case err != nil:
		return err
	case *examples < 1 || *examples > operate.MostExamples:
		return wrongUsage(fmt.Sprintf("verify: --examples is %d", *examples), "", fmt.Sprintf("use 1 to %d", operate.MostExamples))
	}
	client, err := runningPoller()
	if err != nil {
		return err
	}
	// An interrupt must not leave one running that nobody knows of.
	v, err := client.StartVerification(context.WithoutCancel(ctx), operate.VerifyRequest{Tables: names, Sample: float64(sample), Repair: *repair, Examples: *examples})
	if err != nil {
		return usageOrElse(err, exitUnknown)
	}
	v, err = followVerification(ctx, client, v, stderr)
	if err != nil {
		return coded{err, exitUnknown}
	}
	if err := report(v, *asJSON, stdout); err != nil {
		return err
	}
	return outcome(v)
}

// followVerification shows it until it ends. It is cancelled when ctx ends: nobody would see what it comes to.
func followVerification(ctx context.Context, client *operate.Client, v operate.Verification, out io.Writer) (operate.Verification, error) {
	display := operate.Display{Out: out, Size: terminal(out)}
	err := display.Follow(ctx, func(ctx context.Context) ([]operate.Progress, bool, error) {
		now, err := client.Verification(ctx, v.ID)
		if err != nil {
			return nil, false, err
		}
		v = now
		return v.Progress(), v.State != operate.VerifyRunning, nil
	})
	display.Clear()
	if ctx.Err() != nil {
		const patience = 10 * time.Second
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		return client.CancelVerification(ctx, v.ID)
	}
	var refusal *operate.Refusal
	if errors.As(err, &refusal) && refusal.Status == http.StatusNotFound {
		return v, &problem.Error{What: "the comparison is lost", Why: "the poller was restarted, and does not know it any more", Fix: "start it again"}
	}
	return v, err
}

func report(v operate.Verification, asJSON bool, out io.Writer) error {
	if !asJSON {
		_, err := io.WriteString(out, operate.Report(v))
		return err
	}
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s\n", text)
	return err
}

// outcome is the exit code as an error.
func outcome(v operate.Verification) error {
	switch {
	case v.Equal():
		return nil
	case v.State == operate.VerifyDone && v.Wrong() > 0:
		return coded{errToldAlready, 1}
	case v.Problem != nil:
		return coded{v.Problem.Error(), exitUnknown}
	case v.State == operate.VerifyCancelled:
		return coded{&problem.Error{What: "the comparison was cancelled", Fix: "start it again; --sample 1% takes less time"}, exitUnknown}
	}
	return coded{errToldAlready, exitUnknown}
}

// share is a flag for a part of the whole: 1% or 0.01.
type share float64

func (s *share) String() string { return "" }

// Set reads it.
func (s *share) Set(text string) error {
	number, percent := strings.CutSuffix(text, "%")
	value, err := strconv.ParseFloat(number, 64)
	if percent {
		value /= 100
	}
	if err != nil || !(value > 0 && value <= 1) {
		return errors.New("it is a share such as 1% or 0.01, above nothing and at most all")
	}
	*s = share(value)
	return nil
}
