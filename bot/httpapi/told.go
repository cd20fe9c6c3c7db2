package httpapi

import (
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

// What a server tells is signed with its key, and that is all that is known of
// it: an app on target local can read the key of its server, and on a machine of
// its own somebody may have become root. It is stored, searched for causes and
// shown to people and to Slack, so that no more of it is taken than an agent of
// Berth's has to say.
const (
	// maxTold is the most bytes of one sentence or line; an agent's lines are shorter.
	maxTold = 4 << 10
	// maxLines is the most lines in one request; an agent sends 200.
	maxLines = 1000
	// maxPrinted is the most bytes of what programs printed beside Salt's own
	// result; an agent sends 64 KiB, more where it had to mend what was no text.
	maxPrinted = 256 << 10
	// maxWord is the most bytes of the name of a run, a step or a source.
	maxWord = 100
)

var (
	errReport   = errors.New("not a report")
	errProgress = errors.New("not a list of progress lines")
	// commitForm is a full commit, SHA-1 or SHA-256; empty: no code is there.
	commitForm = lazyregexp.New(`^([0-9a-f]{40}([0-9a-f]{24})?)?$`)
)

// boundReport refuses what no agent reports and shortens the rest.
func boundReport(r *orchestrator.Report) error {
	if !commitForm.MatchString(r.Revision) || len(r.Run) > maxWord {
		return errReport
	}
	r.Problem, r.HealthDetail = beginning(r.Problem, maxTold), beginning(r.HealthDetail, maxTold)
	r.Stderr, r.AppLog = end(r.Stderr, maxPrinted), end(r.AppLog, maxPrinted)
	return nil
}

// boundLines refuses what no agent streams and shortens the rest.
func boundLines(lines []orchestrator.Progress) error {
	if len(lines) > maxLines {
		return errProgress
	}
	for i := range lines {
		if len(lines[i].Step) > maxWord || len(lines[i].Source) > maxWord {
			return errProgress
		}
		lines[i].Text = beginning(lines[i].Text, maxTold)
	}
	return nil
}

func beginning(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for !utf8.RuneStart(text[most]) {
		most--
	}
	// A copy: the rest shall not stay in memory.
	return strings.Clone(text[:most]) + "…"
}

func end(text string, most int) string {
	if len(text) <= most {
		return text
	}
	at := len(text) - most
	for at < len(text) && !utf8.RuneStart(text[at]) {
		at++
	}
	return "…" + strings.Clone(text[at:])
}
