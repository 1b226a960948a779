package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
)

// arguments are the flags of one command. They may stand before and after the names; -- ends them.
type arguments struct{ *flag.FlagSet }

func newArguments(command string) arguments {
	flags := flag.NewFlagSet(command, flag.ContinueOnError)
	flags.SetOutput(io.Discard) // errors are reported our way
	return arguments{flags}
}

// errHelp says that help was asked for, and nothing else is to be done.
var errHelp = errors.New("help")

// read answers the names.
func (a arguments) read(args []string) (names []string, err error) {
	for len(args) > 0 {
		if err := a.Parse(args); errors.Is(err, flag.ErrHelp) {
			return nil, errHelp
		} else if err != nil {
			return nil, wrongUsage(fmt.Sprintf("%s: %v", a.Name(), err), "", "poller help shows its flags; a name that begins with a dash stands after --")
		}
		rest := a.Args()
		if ended := len(args) - len(rest); ended > 0 && args[ended-1] == "--" {
			return append(names, rest...), nil
		}
		if len(rest) == 0 {
			break
		}
		names, args = append(names, rest[0]), rest[1:]
	}
	return names, nil
}

// given are the names of the flags that were set.
func (a arguments) given() (names []string) {
	a.Visit(func(f *flag.Flag) { names = append(names, "--"+f.Name) })
	return names
}
