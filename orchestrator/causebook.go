package orchestrator

import (
	"context"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

// noteLimit is the longest note of a cause, in characters.
const noteLimit = 500

// CauseDetail is a known cause with every time that it was seen, newest first,
// and the evidence of the last.
type CauseDetail struct {
	KnownCause
	Evidence    string       `json:"evidence"`
	Occurrences []Occurrence `json:"occurrences"`
}

// opsAlone refuses everybody else.
func (s *Service) opsAlone(a Actor, what string) error {
	if a.Ops {
		return nil
	}
	e := Errorf(CodeNotAllowed, "Only ops may %s.", what)
	if ops := s.Catalogs.Current().Policy.Ops; len(ops) > 0 {
		return e.WithHint("ask ops (%s); why an environment fails is told by: berth env why NAME", strings.Join(ops, ", "))
	}
	return e.WithHint("ask somebody in ops; why an environment fails is told by: berth env why NAME")
}

// ListCauses gives the causes that f chooses, the most frequent first. An app
// or a code that nothing of it was ever seen of is refused where it may be
// misspelt.
func (s *Service) ListCauses(ctx context.Context, a Actor, f CauseFilter) ([]KnownCause, error) {
	if err := s.opsAlone(a, "list causes"); err != nil {
		return nil, err
	}
	found, err := s.Causes.KnownCauses(ctx, f)
	if err != nil || len(found) > 0 || f.App == "" && f.Code == "" {
		return found, err
	}
	all, err := s.Causes.KnownCauses(ctx, CauseFilter{})
	if err != nil {
		return nil, err
	}
	apps := names(s.Catalogs.Current().Apps, func(a App) string { return a.Name })
	var codes []string
	for _, k := range all {
		apps, codes = append(apps, k.App), append(codes, k.Code)
	}
	for _, of := range []struct {
		code        Code
		what, typed string
		known       []string
	}{{CodeAppUnknown, "app", f.App, apps}, {CodeNotFound, "code", f.Code, codes}} {
		known := distinct(of.known)
		if of.typed == "" || slices.Contains(known, of.typed) {
			continue
		}
		e := Errorf(of.code, "No cause was seen of the %s %q.", of.what, of.typed).WithHint("leave it out to see all: berth causes list")
		e.Suggestions = Near(of.typed, known)
		if len(e.Suggestions) > 0 {
			return nil, e.WithHint("did you mean --%s %s?", of.what, strings.Join(e.Suggestions, " or "))
		}
		if of.what == "app" { // codes are many: one may well not have been seen yet
			return nil, e
		}
	}
	return found, nil
}

func distinct(all []string) []string {
	out := slices.DeleteFunc(slices.Clone(all), func(s string) bool { return s == "" })
	slices.Sort(out)
	return slices.Compact(out)
}

var fingerprintForm = lazyregexp.New(`^[a-z2-7]{1,10}$`)

// knownCause finds the one cause whose fingerprint begins with what was typed.
func (s *Service) knownCause(ctx context.Context, typed string) (KnownCause, error) {
	prefix := strings.ToLower(strings.TrimSpace(typed))
	if !fingerprintForm.MatchString(prefix) {
		return KnownCause{}, Errorf(CodeInvalidValue, "%q is no fingerprint: it has up to ten characters, a to z and 2 to 7.", typed).WithHint("berth causes list shows them")
	}
	all, err := s.Causes.KnownCauses(ctx, CauseFilter{})
	if err != nil {
		return KnownCause{}, err
	}
	var found []KnownCause
	for _, k := range all {
		if strings.HasPrefix(k.Fingerprint, prefix) {
			found = append(found, k)
		}
	}
	prints := func(of []KnownCause) []string { return names(of, func(k KnownCause) string { return k.Fingerprint }) }
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		e := Errorf(CodeNotFound, "%q is the beginning of %d fingerprints.", typed, len(found))
		e.Suggestions = prints(found[:min(len(found), 3)])
		return KnownCause{}, e.WithHint("write more of it: %s", strings.Join(e.Suggestions, " or "))
	}
	e := Errorf(CodeNotFound, "No cause has the fingerprint %q.", typed).WithHint("berth causes list --since 90d shows all that are remembered")
	e.Suggestions = Near(prefix, prints(all))
	if len(e.Suggestions) > 0 {
		e = e.WithHint("did you mean %s?", strings.Join(e.Suggestions, " or "))
	}
	return KnownCause{}, e
}

// ShowCause gives all that is remembered of a cause, by the beginning of its
// fingerprint.
func (s *Service) ShowCause(ctx context.Context, a Actor, fingerprint string) (CauseDetail, error) {
	if err := s.opsAlone(a, "look at causes"); err != nil {
		return CauseDetail{}, err
	}
	k, err := s.knownCause(ctx, fingerprint)
	if err != nil {
		return CauseDetail{}, err
	}
	d := CauseDetail{KnownCause: k}
	if d.Occurrences, err = s.Causes.Occurrences(ctx, CauseFilter{Fingerprints: []string{k.Fingerprint}}); err != nil {
		return d, err
	}
	for i := range d.Occurrences {
		if i == 0 {
			d.Evidence = d.Occurrences[i].Evidence
		}
		d.Occurrences[i].Evidence = "" // they differ in noise alone
	}
	return d, nil
}

// NoteCause sets what everybody is told who meets a cause, or takes it away
// where the text is empty.
func (s *Service) NoteCause(ctx context.Context, a Actor, fingerprint, text string) (KnownCause, error) {
	if err := s.opsAlone(a, "write notes of causes"); err != nil {
		return KnownCause{}, err
	}
	text = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(text, "�"), func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
	if n := utf8.RuneCountInString(text); n > noteLimit {
		return KnownCause{}, Errorf(CodeInvalidValue, "The note has %d characters, and %d are the most.", n, noteLimit).WithHint("say it in fewer, or name a page that says more")
	}
	k, err := s.knownCause(ctx, fingerprint)
	if err != nil {
		return KnownCause{}, err
	}
	// A note is read by everybody, and kept.
	app, _ := s.Catalogs.Current().App(k.App)
	text = MaskerOf(s.Settings)(app)(text)
	if s.Hide != nil {
		text = s.Hide(text)
	}
	n := CauseNote{Fingerprint: k.Fingerprint, Text: text, By: a.Name, At: s.Now()}
	if err := s.Causes.SetCauseNote(ctx, n); err != nil {
		return KnownCause{}, err
	}
	if k.Note = nil; text != "" {
		k.Note = &n
	}
	return k, nil
}
