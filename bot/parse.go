package bot

import (
	"strings"

	o "github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

// Parsed is a command that was understood.
type Parsed struct {
	Command o.Command
	// Canonical is the command's one canonical text.
	Canonical string
	// Guess says that something was mistyped and guessed; only reads are.
	Guess bool
}

// Parse reads a command as a person types it in a message. The error is an
// *orchestrator.Error; its first suggestion, if it has any, is the canonical
// text of the command that was probably meant.
func Parse(text string) (Parsed, error) {
	if err := checkText(text); err != nil {
		return Parsed{}, err
	}
	parsed, err := (&parser{toks: lex(text)}).run()
	if err == nil {
		return parsed, nil
	}
	if len(err.Suggestions) == 0 && err.Code != o.CodeNotAllowed {
		err = repaired(text, err)
	}
	return Parsed{}, err
}

// ParseArgs reads a command that a shell has cut into words already: each word
// is exact, but for quotes around it or around its value.
func ParseArgs(args []string) (Parsed, error) {
	if err := checkText(strings.Join(args, " ")); err != nil {
		return Parsed{}, err
	}
	p := &parser{exact: true}
	for _, arg := range args {
		if arg != "" {
			p.toks = append(p.toks, argument(arg))
		} else {
			p.toks = append(p.toks, token{quoted: true, whole: true})
		}
	}
	parsed, err := p.run()
	if err != nil {
		return Parsed{}, err
	}
	return parsed, nil
}

// swallowed is a quotation that ends too late: web="main ttl=3d".
var swallowed = lazyregexp.New("[" + doubleQuotes + singleQuotes + `][^` + doubleQuotes + singleQuotes + `]*\s\S*[=:]`)

var edgeUnderscores = lazyregexp.New(`(^|[\s=:])_+|_+($|[\s=:,.;?!])`)

// repaired looks for a slip that explains err, and suggests the command
// without it.
func repaired(text string, err *o.Error) *o.Error {
	text = unslack(text)
	unquoted := strings.Map(func(r rune) rune {
		if isQuote(r) {
			return -1
		}
		return r
	}, text)
	seen := strings.Map(func(r rune) rune {
		if invisible(r) {
			return -1
		}
		return r
	}, text)
	if !swallowed.MatchString(text) {
		unquoted = text
	}
	for _, better := range []string{plainLetters(text), seen, unquoted, plainLetters(unquoted), strings.ReplaceAll(text, `\`, "/"), edgeUnderscores.ReplaceAllString(text, "$1$2")} {
		if better == text {
			continue
		}
		// What is suggested is typed text again, not Slack's encoding of it.
		p := &parser{toks: tokens(fold(unmarked(quotes([]rune(better), true))))}
		parsed, wrong := p.run()
		if wrong == nil {
			return suggest(err, parsed.Canonical)
		}
		if len(wrong.Suggestions) > 0 {
			return suggest(err, wrong.Suggestions...)
		}
	}
	return err
}

// suggest adds commands that may have been meant to a copy of err.
func suggest(err *o.Error, texts ...string) *o.Error {
	e := *err
	e.Suggestions = append([]string{}, texts...)
	if len(texts) > 0 && (e.Hint == "" || len(texts) == 1) {
		e.Hint = "did you mean: " + strings.Join(texts, "   or: ")
	}
	return &e
}

// parser turns tokens into a Command.
type parser struct {
	toks  []token
	pos   int
	exact bool // the words of a shell
	noun  o.Noun
	verb  o.Verb
	mine  bool // "my envs"
	many  bool // the noun was given in its plural
	// detail is how much why is to tell.
	detail o.Detail
	wants  bool // "I need", "give me"
	asks   bool // "I need a", "give me a new"
	// question says that show answers a question.
	question bool
	// wrong is the first thing that had to be corrected on the way; the
	// corrected command is offered. firm says that not even a read may run.
	wrong *o.Error
	firm  bool
}

// correct notes that something was corrected; a guess may still run a read.
func (p *parser) correct(err *o.Error, guess bool) {
	if p.wrong == nil {
		p.wrong = err
	}
	p.firm = p.firm || !guess
}

func (p *parser) run() (Parsed, *o.Error) {
	cmd, err := p.command()
	if err != nil {
		if p.wrong != nil && err.Code != o.CodeNotAllowed {
			after := err
			if err = p.wrong; err.Hint == "" {
				err = err.WithHint("%s", after.Hint)
			}
			if len(after.Suggestions) > 0 {
				err = suggest(err.WithHint(""), after.Suggestions...)
			}
		}
		return Parsed{}, err
	}
	text := Canonical(cmd)
	if len(text) > maxText {
		return Parsed{}, o.Errorf(o.CodeGrammar, "That is too long: a command has at most 4 KB.").WithHint("name fewer apps in one command")
	}
	if p.wrong != nil && (p.firm || cmd.Changes()) {
		return Parsed{}, suggest(p.wrong, text)
	}
	return Parsed{Command: cmd, Canonical: text, Guess: p.wrong != nil}, nil
}

func (p *parser) command() (o.Command, *o.Error) {
	bare, err := p.head()
	if err != nil || bare {
		return o.Command{Noun: p.noun, Verb: o.VerbList, Mine: p.noun == o.NounEnv && !p.many || p.mine}, err
	}
	return p.rest()
}

// fork suggests the command for each of several verbs that may be meant; what
// follows the verb begins at token pos.
func (p *parser) fork(err *o.Error, verbs []o.Verb, pos int) *o.Error {
	var texts []string
	for _, v := range verbs {
		q := *p
		q.pos, q.verb, q.wrong, q.firm = pos, v, nil, false
		if err := q.afterVerb(); err != nil {
			continue
		}
		if cmd, err := q.rest(); err == nil {
			texts = append(texts, Canonical(cmd))
		}
	}
	if len(texts) == 0 {
		return err
	}
	return suggest(err, texts...)
}
