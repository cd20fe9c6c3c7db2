// Package catalog reads berth.hcl, the file in which ops say what may be
// built, and the settings files that it names. All that is wrong with a file is
// told at once, each with its place, what was expected and what was probably
// meant. Values are data: the file knows no variables and no functions.
package catalog

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"syscall"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

// Load reads the catalog at path. Its error is an *orchestrator.Error with
// every problem of the file, one a line.
func Load(path string) (*orchestrator.Catalog, error) {
	src, err := readCatalog(path)
	if err != nil {
		return nil, err
	}
	l, err := parse(path, src)
	if err != nil {
		return nil, err
	}
	return l.cat, l.err()
}

func readCatalog(path string) ([]byte, error) {
	src, err := readRegular(path)
	switch {
	case err == nil:
		return src, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, orchestrator.Errorf(orchestrator.CodeInvalidCatalog, "There is no catalog at %s.", path).
			WithHint("berth init writes a commented one to start from; --catalog or BERTH_CATALOG names another file")
	}
	if errors.Is(err, errNoFile) {
		return nil, orchestrator.Errorf(orchestrator.CodeInvalidCatalog, "The catalog %s is no file.", path).
			WithHint("name the catalog's file itself with --catalog or BERTH_CATALOG")
	}
	e := orchestrator.Errorf(orchestrator.CodeInvalidCatalog, "The catalog %s cannot be read: %s.", path, plain(err)).
		WithHint("ask whoever looks after this machine to make %s readable", path)
	e.Cause = err
	return nil, e
}

// errNoFile is what stands in a file's place: a folder, a pipe, a device.
var errNoFile = errors.New("it is no file")

// readRegular reads a file, and waits for no pipe that stands in its place.
func readRegular(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errNoFile
	}
	return io.ReadAll(f)
}

// plain is the reason of a file error without the operation and the path.
func plain(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}

// problem is one thing that is wrong, with where it is.
type problem struct {
	rng  hcl.Range // no Filename: the text names its own place
	text string
}

func (p problem) String() string {
	switch {
	case p.rng.Filename == "":
		return p.text
	case p.rng.Start.Column == 0:
		return fmt.Sprintf("%s:%d: %s", p.rng.Filename, p.rng.Start.Line, p.text)
	}
	return fmt.Sprintf("%s:%d:%d: %s", p.rng.Filename, p.rng.Start.Line, p.rng.Start.Column, p.text)
}

// maxProblems is how many a person is told at once: more help nobody.
const maxProblems = 50

// loader gathers the catalog and its problems.
type loader struct {
	path     string
	src      []byte
	cat      *orchestrator.Catalog
	problems []problem
	near     []string // what was probably meant, over all problems

	// Places of what can only be judged later, or by Verify.
	needs    map[string]map[string]hcl.Range // app → variable → place
	states   map[string][]hcl.Range          // app → place of each recipe
	module   map[string]hcl.Range            // target → place of its module
	userData map[string]hcl.Range            // target → place of its user_data
	// target → place of each name of its environment
	environment map[string][]hcl.Range
	// target → variable → place; size → target → variable → place
	variablePlace map[string]map[string]hcl.Range
	sizePlace     map[string]map[string]map[string]hcl.Range
	public        map[string][]hcl.Range // app → place of each of its public names
	ops           []hcl.Range            // place of each of the policy's ops
	refs          []func()               // checks that need the whole file
}

func parse(path string, src []byte) (*loader, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("finding the folder of %s: %w", path, err)
	}
	l := &loader{
		path: path, src: src,
		cat:    &orchestrator.Catalog{File: abs, Dir: filepath.Dir(abs)},
		needs:  map[string]map[string]hcl.Range{},
		public: map[string][]hcl.Range{}, variablePlace: map[string]map[string]hcl.Range{}, sizePlace: map[string]map[string]map[string]hcl.Range{},
		states: map[string][]hcl.Range{},
		module: map[string]hcl.Range{}, userData: map[string]hcl.Range{}, environment: map[string][]hcl.Range{},
	}
	if len(src) > maxCatalog {
		l.at(l.start(), "the file has %d MiB; a catalog has at most %d.", (len(src)+1<<20-1)>>20, maxCatalog>>20)
		return l, nil
	}
	if at, deep := tooDeep(src, path); deep {
		l.at(at, "values are nested more than %d deep here.", maxDepth)
		return l, nil
	}
	file, diags := hclparse.NewParser().ParseHCL(src, path)
	l.diagnostics(diags)
	if file == nil || diags.HasErrors() {
		// What follows would only repeat the syntax error in other words.
		return l, nil
	}
	body, ok := file.Body.(*hclsyntax.Body)
	if !ok {
		return nil, fmt.Errorf("reading %s: unexpected body %T", path, file.Body)
	}
	l.file(body)
	return l, nil
}

// What is read must be bounded: the parser calls itself for each level, and a
// program whose stack is full ends, serve with it.
const (
	maxCatalog = 4 << 20
	maxDepth   = 200
)

// start is the first place of the file.
func (l *loader) start() hcl.Range {
	return hcl.Range{Filename: l.path, Start: hcl.InitialPos, End: hcl.InitialPos}
}

// tooDeep finds the place where brackets, or operators of one line, are nested
// beyond what anybody writes.
func tooDeep(src []byte, path string) (hcl.Range, bool) {
	tokens, _ := hclsyntax.LexConfig(src, path, hcl.InitialPos) // the parser tells what is wrong
	depth, operators := 0, 0
	for _, t := range tokens {
		switch t.Type {
		case hclsyntax.TokenOBrace, hclsyntax.TokenOBrack, hclsyntax.TokenOParen, hclsyntax.TokenTemplateInterp, hclsyntax.TokenTemplateControl, hclsyntax.TokenOQuote, hclsyntax.TokenOHeredoc:
			depth++
		case hclsyntax.TokenCBrace, hclsyntax.TokenCBrack, hclsyntax.TokenCParen, hclsyntax.TokenTemplateSeqEnd, hclsyntax.TokenCQuote, hclsyntax.TokenCHeredoc:
			depth--
		case hclsyntax.TokenBang, hclsyntax.TokenMinus, hclsyntax.TokenQuestion:
			operators++
		case hclsyntax.TokenComma, hclsyntax.TokenEqual:
			operators = 0 // another value begins
		}
		if depth+operators > maxDepth {
			return t.Range, true
		}
	}
	return hcl.Range{}, false
}

// diagnostics takes over the parser's own findings.
func (l *loader) diagnostics(diags hcl.Diagnostics) {
	lines, texts := map[int]bool{}, map[string]bool{}
	for _, d := range diags.Errs() {
		var diag *hcl.Diagnostic
		if !errors.As(d, &diag) {
			continue
		}
		rng := l.start()
		if diag.Subject != nil {
			rng = *diag.Subject
		}
		// One slip makes the parser stumble several times.
		if lines[rng.Start.Line] || texts[diag.Detail] {
			continue
		}
		lines[rng.Start.Line], texts[diag.Detail] = true, true
		if name, value := l.bareText(diag, rng); value != "" {
			l.at(rng, "text stands in quotes: %s = %q.", name, value)
			continue
		}
		l.at(rng, "%s", sentence(diag.Summary)+" "+sentence(strings.Join(strings.Fields(diag.Detail), " ")))
	}
}

var bareLine = lazyregexp.New(`^\s*([A-Za-z_][\w-]*)\s*=\s*([A-Za-z./~@][^\s"'\[\]{}(),]*)\s*(?:#.*|//.*)?$`)

// bareText finds the commonest slip, text without quotes, which the parser
// takes for the end of the value.
func (l *loader) bareText(diag *hcl.Diagnostic, rng hcl.Range) (name, value string) {
	if diag.Summary != "Missing newline after argument" && diag.Summary != "Invalid expression" && diag.Summary != "Invalid character" && diag.Summary != "Missing attribute separator" {
		return "", ""
	}
	lines := strings.Split(string(l.src), "\n")
	if rng.Start.Line > len(lines) {
		return "", ""
	}
	m := bareLine.FindStringSubmatch(strings.TrimRight(lines[rng.Start.Line-1], "\r"))
	if m == nil {
		return "", ""
	}
	if u, err := url.Parse(m[2]); err != nil || u.User != nil {
		return "", "" // it may hold a password
	}
	return m[1], m[2]
}

func sentence(s string) string {
	s = strings.TrimSpace(s)
	if s == "" || strings.HasSuffix(s, ".") || strings.HasSuffix(s, "?") {
		return s
	}
	return s + "."
}

func (l *loader) at(rng hcl.Range, format string, args ...any) {
	l.problems = append(l.problems, problem{rng, strings.TrimSpace(fmt.Sprintf(format, args...))})
}

func (l *loader) foreign(p problem) bool { return p.rng.Filename != l.path }

// err makes one error of all problems, in the file's order.
func (l *loader) err() error {
	if len(l.problems) == 0 {
		return nil
	}
	sort.SliceStable(l.problems, func(i, j int) bool {
		a, b := l.problems[i].rng.Start, l.problems[j].rng.Start
		// What is wrong in other files comes after the catalog's own.
		if x, y := l.foreign(l.problems[i]), l.foreign(l.problems[j]); x || y {
			return y && !x
		}
		if a.Line != b.Line {
			return a.Line < b.Line
		}
		return a.Column < b.Column
	})
	lines := make([]string, 0, len(l.problems))
	for _, p := range l.problems {
		if len(lines) == maxProblems {
			lines = append(lines, fmt.Sprintf("… and %d more", len(l.problems)-maxProblems))
			break
		}
		lines = append(lines, p.String())
	}
	message := lines[0]
	if len(lines) > 1 {
		message = fmt.Sprintf("The catalog has %d errors:\n%s", len(l.problems), strings.Join(lines, "\n"))
	}
	return &orchestrator.Error{
		Code: orchestrator.CodeInvalidCatalog, Message: message, Suggestions: l.near,
		Hint: "ops can correct it; berth validate --catalog " + l.path + " checks it again",
	}
}

// didYouMean is a trailing sentence with near names, or what there is.
func (l *loader) didYouMean(name string, known []string) string {
	near := orchestrator.Near(name, known)
	if len(near) > 0 {
		l.near = append(l.near, near...)
		return " Did you mean " + quoted(near, "or") + "?"
	}
	if len(known) == 0 {
		return ""
	}
	return " Expected " + quoted(known, "or") + "."
}

func quoted(all []string, word string) string {
	q := make([]string, len(all))
	for i, s := range all {
		q[i] = fmt.Sprintf("%q", s)
	}
	if len(q) < 2 {
		return strings.Join(q, "")
	}
	return strings.Join(q[:len(q)-1], ", ") + " " + word + " " + q[len(q)-1]
}
