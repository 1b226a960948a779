package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Report is what one or several runs have found, a result for each workload.
type Report struct {
	Results []Result `json:"results"`
}

// The files of a report: all numbers, and what people read, which is made of the first.
const (
	numbersFile = "results.json"
	pageFile    = "RESULTS.md"
)

// Load reads the report that a folder keeps. It is empty where there is none yet.
func Load(dir string) (r Report, err error) {
	text, err := os.ReadFile(filepath.Join(dir, numbersFile))
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return r, fmt.Errorf("read %s: %w", numbersFile, err)
	}
	return r, nil
}

// Save writes both files.
func (r Report) Save(dir string) error {
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, numbersFile), append(text, '\n'), 0o644); err != nil {
		return err
	}
	page, err := os.Create(filepath.Join(dir, pageFile))
	if err != nil {
		return err
	}
	return errors.Join(r.Write(page), page.Close())
}

// Put adds a result in its place, or has it take that of an older one. One that was left out takes the place of none that was measured.
func (r *Report) Put(result Result) {
	is := func(other Result) bool { return other.Workload == result.Workload }
	switch at := slices.IndexFunc(r.Results, is); {
	case at < 0:
		r.Results = append(r.Results, result)
	case result.Skipped == "" || r.Results[at].Skipped != "":
		r.Results[at] = result
	}
	slices.SortStableFunc(r.Results, func(a, b Result) int {
		return slices.Index(All, a.Workload) - slices.Index(All, b.Workload)
	})
}

// find returns the result of a workload, if it was measured.
func (r Report) find(workload string) (Result, bool) {
	at := slices.IndexFunc(r.Results, func(other Result) bool { return other.Workload == workload })
	if at < 0 {
		return Result{}, false
	}
	return r.Results[at], true
}
