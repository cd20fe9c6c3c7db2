// Package lazyregexp holds regular expressions that are compiled when they are
// first used: each berth command would wait for the compilation of all those
// of the program otherwise, some milliseconds of a command that takes forty.
package lazyregexp

import (
	"os"
	"regexp"
	"strings"
	"sync"
)

// Regexp is a regular expression of package regexp that has not been compiled
// yet; its methods do what their namesakes there do.
type Regexp struct {
	get func() *regexp.Regexp
}

// eager makes tests find an expression that is wrong without using it.
var eager = strings.HasSuffix(os.Args[0], ".test")

// New gives the expression, which must be right: its first use panics if not,
// and in tests New does.
func New(expression string) *Regexp {
	r := &Regexp{get: sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expression) })}
	if eager {
		r.get()
	}
	return r
}

func (r *Regexp) MatchString(s string) bool { return r.get().MatchString(s) }

func (r *Regexp) Match(b []byte) bool { return r.get().Match(b) }

func (r *Regexp) FindString(s string) string { return r.get().FindString(s) }

func (r *Regexp) FindStringIndex(s string) []int { return r.get().FindStringIndex(s) }

func (r *Regexp) FindStringSubmatch(s string) []string { return r.get().FindStringSubmatch(s) }

func (r *Regexp) FindSubmatch(b []byte) [][]byte { return r.get().FindSubmatch(b) }

func (r *Regexp) FindAllString(s string, n int) []string { return r.get().FindAllString(s, n) }

func (r *Regexp) FindAllStringIndex(s string, n int) [][]int { return r.get().FindAllStringIndex(s, n) }

func (r *Regexp) FindAllStringSubmatch(s string, n int) [][]string {
	return r.get().FindAllStringSubmatch(s, n)
}

func (r *Regexp) FindAllStringSubmatchIndex(s string, n int) [][]int {
	return r.get().FindAllStringSubmatchIndex(s, n)
}

func (r *Regexp) ReplaceAll(src, replacement []byte) []byte {
	return r.get().ReplaceAll(src, replacement)
}

func (r *Regexp) ReplaceAllString(src, replacement string) string {
	return r.get().ReplaceAllString(src, replacement)
}

func (r *Regexp) ReplaceAllLiteralString(src, replacement string) string {
	return r.get().ReplaceAllLiteralString(src, replacement)
}

func (r *Regexp) ReplaceAllStringFunc(src string, replacement func(string) string) string {
	return r.get().ReplaceAllStringFunc(src, replacement)
}

func (r *Regexp) SubexpNames() []string { return r.get().SubexpNames() }

func (r *Regexp) String() string { return r.get().String() }
