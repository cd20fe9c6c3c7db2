// Command corpus records what the real Salt prints when setups fail: it runs
// each scenario of testdata/salt/scenarios anew, with Salt 3008 and 3006, in a
// temporary folder, and writes what came out beside what a person said should
// be found in it.
//
//	go run ./.ci/corpus [-work DIR] [-scenarios DIR] [-out DIR] [-jobs N] [NAME…]
//
// NAME is a scenario's, or the beginning of several; none means all. The README
// in the scenarios' folder says how one is written.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
)

func main() {
	work := flag.String("work", ".berth", "the folder that set-up filled")
	scenarios := flag.String("scenarios", "testdata/salt/scenarios", "where the scenarios are")
	out := flag.String("out", "testdata/salt", "where the recorded runs go, a folder for each")
	jobs := flag.Int("jobs", 2, "how many run at a time")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := record(ctx, *work, *scenarios, *out, *jobs, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func record(ctx context.Context, work, scenarios, out string, jobs int, names []string) error {
	work, err := filepath.Abs(work)
	if err != nil {
		return err
	}
	all, err := load(scenarios)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(s *scenario) bool {
		return len(names) > 0 && !slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(s.name, n) })
	})
	if len(all) == 0 {
		return errors.New("corpus: no scenario has such a name")
	}
	var mu sync.Mutex
	var errs []error
	limit := make(chan struct{}, max(1, jobs))
	var running sync.WaitGroup
	for _, s := range all {
		for _, series := range s.series() {
			limit <- struct{}{}
			running.Go(func() {
				defer func() { <-limit }()
				name, err := s.record(ctx, work, out, series)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					errs = append(errs, err)
					fmt.Printf("%s: %v\n", name, err)
					return
				}
				fmt.Println(name)
			})
		}
	}
	running.Wait()
	if len(errs) > 0 {
		return fmt.Errorf("corpus: %d runs were not recorded", len(errs))
	}
	return nil
}
