// Command score prints how many recorded failures "berth diagnose" explains
// rightly, and fails below a share of them: those in testdata by its own
// count, those of a corpus beside the checkout by the corpus's own score.py.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/diagnose/diagnosetest"
)

// limit is how long the program may take for one case.
const limit = 10 * time.Second

type options struct {
	berth, recorded, corpus, python string
	min                             float64
	verbose                         bool
	out                             io.Writer
}

func main() {
	o := options{out: os.Stdout}
	flag.StringVar(&o.berth, "berth", ".berth/bin/berth", "the program")
	flag.StringVar(&o.recorded, "recorded", "testdata", "a folder with recorded cases")
	flag.StringVar(&o.corpus, "corpus", "", "a folder with score.py and a folder for each set; none: only what is recorded here")
	flag.StringVar(&o.python, "python", "python3", "the Python for score.py")
	flag.Float64Var(&o.min, "min", 98, "the share that must be right, in per cent")
	flag.BoolVar(&o.verbose, "v", false, "print what is wrong with each case")
	flag.Parse()
	if err := run(context.Background(), o); err != nil {
		fmt.Fprintln(os.Stderr, "score:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	program, err := filepath.Abs(o.berth)
	if err != nil {
		return err
	}
	o.berth = program
	problem := recorded(ctx, o)
	if o.corpus == "" {
		fmt.Fprintln(o.out, "There is no larger set: BERTH_CORPUS names none.")
		return problem
	}
	return errors.Join(problem, corpus(ctx, o))
}

// recorded judges the cases that are a part of the checkout.
func recorded(ctx context.Context, o options) error {
	sets, err := os.ReadDir(o.recorded)
	if err != nil {
		return err
	}
	var problems []error
	found := 0
	for _, set := range sets {
		folder := filepath.Join(o.recorded, set.Name())
		if !set.IsDir() {
			continue
		}
		dirs, err := diagnosetest.Find(folder)
		if err != nil {
			return err
		}
		if len(dirs) == 0 {
			continue
		}
		found++
		var s diagnosetest.Score
		for _, dir := range dirs {
			c, err := diagnosetest.Load(dir)
			if err != nil {
				return err
			}
			misses := diagnosetest.Misses{}
			if d, err := ask(ctx, o.berth, c); err != nil {
				for _, measure := range diagnosetest.Measures {
					misses[measure] = err.Error()
				}
			} else {
				misses = diagnosetest.Judge(c.Truth, d)
			}
			s.Add(misses)
			if len(misses) > 0 {
				fmt.Fprintf(o.out, "%s: %s\n", dir, misses)
			}
		}
		fmt.Fprintf(o.out, "%s\n  %s\n", folder, s)
		if s.Percent() < o.min {
			problems = append(problems, fmt.Errorf("%s: %.1f%% are right, %g%% must be", folder, s.Percent(), o.min))
		}
	}
	if found == 0 {
		return fmt.Errorf("there is no case below %s", o.recorded)
	}
	return errors.Join(problems...)
}

// ask lets the program diagnose a case, as ops would.
func ask(ctx context.Context, program string, c diagnosetest.Case) (d orchestrator.Diagnosis, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	stderr, err := filepath.Abs(filepath.Join(c.Dir, "stderr.txt"))
	if err != nil {
		return d, err
	}
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, program, "diagnose", "--json")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(c.Input), &out, &errs
	cmd.Env = append(os.Environ(), "SALT_EXIT="+strconv.Itoa(c.Truth.Exit), "SALT_STDERR="+stderr)
	if err := cmd.Run(); err != nil {
		return d, fmt.Errorf("%w: %s", err, bytes.TrimSpace(errs.Bytes()))
	}
	if err := json.Unmarshal(out.Bytes(), &d); err != nil {
		return d, fmt.Errorf("not a diagnosis: %w", err)
	}
	return d, nil
}

// corpus lets score.py judge each set.
func corpus(ctx context.Context, o options) error {
	metas, err := filepath.Glob(filepath.Join(o.corpus, "*", "*", "meta.json"))
	if err != nil {
		return err
	}
	script := filepath.Join(o.corpus, "score.py")
	if _, err := os.Stat(script); err != nil || len(metas) == 0 {
		return fmt.Errorf("%s should hold score.py and folders of cases: %d cases, %v", o.corpus, len(metas), err)
	}
	var problems []error
	seen := map[string]bool{}
	for _, meta := range metas {
		set := filepath.Dir(filepath.Dir(meta))
		if seen[set] {
			continue
		}
		seen[set] = true
		fmt.Fprintln(o.out, set)
		args := []string{script, "--min", strconv.FormatFloat(o.min, 'f', -1, 64)}
		if o.verbose {
			args = append(args, "-v")
		}
		cmd := exec.CommandContext(ctx, o.python, append(args, set, o.berth, "diagnose", "--json")...)
		cmd.Stdout, cmd.Stderr = o.out, os.Stderr
		if err := cmd.Run(); err != nil {
			problems = append(problems, fmt.Errorf("%s: less than %g%% are right: %w", set, o.min, err))
		}
	}
	return errors.Join(problems...)
}
