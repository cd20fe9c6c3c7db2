package app

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/diagnose"
)

// newDiagnoseCommand is the diagnosis alone: of a Salt result, Terraform's
// -json log or a cloud-init log. SALT_EXIT and SALT_STDERR (a file), where set,
// give a Salt run's exit status and standard error.
func newDiagnoseCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "diagnose [FILE|-]",
		Example: "  salt-call --local --out json state.apply > result.json; berth diagnose result.json\n  terraform apply -json | berth diagnose --json -",
		Short:   "Say what went wrong in a Salt result, a Terraform log or a cloud-init log",
		Long: "Say what went wrong in a Salt result, a Terraform -json log or a cloud-init log, who can mend it and what to do next.\n" +
			"Without FILE, or with -, standard input is read. SALT_EXIT and SALT_STDERR (a file) give the exit status and the standard error of the run.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			input, err := readInput(cmd.InOrStdin(), args)
			if err != nil {
				return err
			}
			stderr, exit, err := saltEnvironment()
			if err != nil {
				return err
			}
			d := diagnose.Any(input, stderr, exit)
			if asJSON {
				writeJSON(cmd.OutOrStdout(), d)
				return nil
			}
			fmt.Fprint(cmd.OutOrStdout(), diagnosisText(d))
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON value")
	return cmd
}

func readInput(in io.Reader, args []string) ([]byte, error) {
	if len(args) == 0 || args[0] == "-" {
		b, err := readBounded(in, maxInput)
		if err != nil {
			return nil, orchestrator.Errorf(orchestrator.CodeInvalidValue, "Standard input can't be read: %v.", err).WithHint("berth diagnose FILE")
		}
		return b, nil
	}
	return readNamed(args[0], "name a file that is there, or - for standard input")
}

// maxInput is how much is read at most, in bytes: results have a few megabytes,
// and what has no end would fill the memory.
const maxInput = 256 << 20

func readBounded(r io.Reader, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(b)) > limit {
		return nil, fmt.Errorf("it has more than %d MB", limit>>20)
	}
	return b, err
}

func readNamed(name, hint string) ([]byte, error) {
	f, err := os.Open(name)
	var b []byte
	if err == nil {
		defer f.Close()
		b, err = readBounded(f, maxInput)
	}
	if err != nil {
		var path *fs.PathError
		if errors.As(err, &path) {
			err = path.Err
		}
		return nil, orchestrator.Errorf(orchestrator.CodeInvalidValue, "The file %s can't be read: %v.", name, err).WithHint("%s", hint)
	}
	return b, nil
}

// saltEnvironment gives the exit status of the run, negative if it is not
// known, and its standard error.
func saltEnvironment() (stderr []byte, exit int, err error) {
	exit = -1
	if v := os.Getenv("SALT_EXIT"); v != "" {
		if exit, err = strconv.Atoi(v); err != nil {
			return nil, 0, orchestrator.Errorf(orchestrator.CodeInvalidValue, "SALT_EXIT is %q, which is no exit status.", v).WithHint("set it to a number, or leave it out")
		}
	}
	if name := os.Getenv("SALT_STDERR"); name != "" {
		if stderr, err = readNamed(name, "let SALT_STDERR name a file that is there, or leave it out"); err != nil {
			return nil, 0, err
		}
	}
	return stderr, exit, nil
}

// diagnosisText is a diagnosis for a terminal.
func diagnosisText(d orchestrator.Diagnosis) string {
	var b strings.Builder
	switch d.Outcome {
	case orchestrator.OutcomeOK:
		b.WriteString("Everything went well.\n")
	case orchestrator.OutcomeBusy:
		b.WriteString("Nothing was done: the server is busy.\n")
	case orchestrator.OutcomeUnreadable:
		b.WriteString("It is not known how it ended.\n")
	case orchestrator.OutcomeFailed:
		b.WriteString("It failed")
		if d.Blocked > 0 {
			fmt.Fprintf(&b, "; %d of %d steps could not run because of it", d.Blocked, d.Total)
		}
		b.WriteString(".\n")
	}
	who := map[string]string{"developer": "you", "ops": "ops", "retry": "nobody yet: it may pass by itself"}
	for i, c := range d.Causes {
		fmt.Fprintf(&b, "\n%d. %s\n", i+1, c.Sentence)
		if c.Server != "" {
			fmt.Fprintf(&b, "   on:    %s\n", c.Server)
		}
		if c.Where != "" {
			fmt.Fprintf(&b, "   where: %s\n", c.Where)
		}
		fmt.Fprintf(&b, "   who:   %s\n   next:  %s\n   code:  %s\n", who[c.Who], c.Next, c.Code)
		if c.Evidence != "" {
			b.WriteString("   what was said:\n")
			for _, l := range strings.Split(c.Evidence, "\n") {
				b.WriteString(strings.TrimRight("     | "+printable(l), " ") + "\n")
			}
		}
	}
	return b.String()
}

// printable keeps a foreign output from steering the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' {
			return ' '
		}
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return -1
		}
		return r
	}, s)
}
