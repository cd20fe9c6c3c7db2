package app

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/berth-dev/berth/bot"
	"github.com/berth-dev/berth/orchestrator"
)

// parseAnswer is what berth parse --json prints.
type parseAnswer struct {
	OK        bool   `json:"ok"`
	Canonical string `json:"canonical,omitempty"`
	Changes   *bool  `json:"changes,omitempty"`
	// Guess says that something was mistyped; only reads are guessed.
	Guess      bool              `json:"guess,omitempty"`
	Code       orchestrator.Code `json:"code,omitempty"`
	Message    string            `json:"message,omitempty"`
	Hint       string            `json:"hint,omitempty"`
	Suggestion string            `json:"suggestion,omitempty"`
}

func parseText(text string) (parseAnswer, error) {
	p, err := bot.Parse(text)
	if err == nil {
		changes := p.Command.Changes()
		return parseAnswer{OK: true, Canonical: p.Canonical, Changes: &changes, Guess: p.Guess}, nil
	}
	var e *orchestrator.Error
	if !errors.As(err, &e) {
		return parseAnswer{}, err
	}
	a := parseAnswer{Code: e.Code, Message: e.Message, Hint: e.Hint}
	if len(e.Suggestions) > 0 {
		a.Suggestion = e.Suggestions[0]
	}
	return a, e
}

func newParseCommand() *cobra.Command {
	var asJSON, batch bool
	c := &cobra.Command{
		Use:   "parse [--json] -- TEXT",
		Short: "Say how Berth reads a command; nothing is done and no Berth is needed",
		Example: `  berth parse -- "create env qa web=feature/login for 3 days"
  berth parse --json -- "env lsit"
  berth parse --batch < commands.jsonl`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if batch {
				if len(args) > 0 {
					return orchestrator.Errorf(orchestrator.CodeGrammar, "With --batch the commands come on standard input.").WithHint("leave %q out", args[0])
				}
				return parseBatch(cmd.InOrStdin(), cmd.OutOrStdout())
			}
			if len(args) == 0 {
				return orchestrator.Errorf(orchestrator.CodeGrammar, "There is nothing to parse.").WithHint("berth parse -- env list")
			}
			answer, err := parseText(strings.Join(args, " "))
			if asJSON {
				enc := json.NewEncoder(cmd.OutOrStdout())
				enc.SetEscapeHTML(false)
				if werr := enc.Encode(answer); werr != nil {
					return fmt.Errorf("writing the answer: %w", werr)
				}
				if err != nil {
					return errSilent{orchestrator.ExitStatus(err)}
				}
				return nil
			}
			if err != nil {
				return err
			}
			if answer.Guess {
				fmt.Fprintln(cmd.ErrOrStderr(), "(guessed: as typed it is no command)")
			}
			fmt.Fprintln(cmd.OutOrStdout(), answer.Canonical)
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "one JSON object on standard output")
	c.Flags().BoolVar(&batch, "batch", false, "read one JSON string a line from standard input, answer one JSON object a line")
	c.Flags().String("catalog", "", "accepted for scripts that give it to every command: the grammar does not depend on the catalog")
	return c
}

// longestLine is the longest line of a batch that is looked at, in bytes: every
// character of the longest command may be written as an escape.
const longestLine = 64 << 10

// parseBatch answers each line; what is wrong with a line is its answer. It
// keeps no more than one line of longestLine, whatever comes in.
func parseBatch(in io.Reader, out io.Writer) error {
	lines := bufio.NewReaderSize(in, longestLine)
	w := bufio.NewWriter(out)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for {
		line, tooLong, err := nextLine(lines)
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("reading standard input: %w", err)
		}
		if len(line) > 0 {
			if werr := enc.Encode(parseLine(line, tooLong)); werr != nil {
				return fmt.Errorf("writing an answer: %w", werr)
			}
		}
		// A program may wait for each answer before its next line.
		if lines.Buffered() == 0 || err != nil {
			if werr := w.Flush(); werr != nil {
				return fmt.Errorf("writing an answer: %w", werr)
			}
		}
		if err != nil {
			return nil
		}
	}
}

// nextLine reads a line, or the beginning of one that is too long.
func nextLine(lines *bufio.Reader) (line []byte, tooLong bool, err error) {
	line, err = lines.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return line, false, err
	}
	line = slices.Clone(line)
	for errors.Is(err, bufio.ErrBufferFull) {
		_, err = lines.ReadSlice('\n')
	}
	return line, true, err
}

func parseLine(line []byte, tooLong bool) parseAnswer {
	if tooLong {
		return parseAnswer{Code: orchestrator.CodeGrammar, Message: "The line is too long: a command has at most 4 KB.", Hint: "name fewer apps in one command"}
	}
	var text *string
	if json.Unmarshal(line, &text) != nil || text == nil {
		return parseAnswer{Code: orchestrator.CodeGrammar, Message: "The line is no JSON string.", Hint: `write one JSON string a line, for example "env list"`}
	}
	answer, _ := parseText(*text) // what is wrong with the text is in the answer
	return answer
}
