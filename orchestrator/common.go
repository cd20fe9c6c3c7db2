package orchestrator

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
)

// CommonWithin is how close in time the same failure in several environments
// has to be to be told as one.
const CommonWithin = time.Hour

// Common is a failure that several environments have for one reason, as it was
// when it was read.
type Common struct {
	Since        time.Time `json:"since"`
	Environments int       `json:"environments"`
	Sentence     string    `json:"sentence"`
}

// Incident is such a failure from when it was first seen until it is over. It
// is told to ops once, and changed where it was told.
type Incident struct {
	ID  int64
	Kin string
	// Code and Who are the cause's. Outside names what it is about where that
	// lies outside the servers, Sentence is that of the first cause.
	Code, Who, Outside, Sentence string
	Since                        time.Time
	// Last is when it was seen last, Ended when something that it had befallen
	// went well again, nil as long as nothing has.
	Last  time.Time
	Ended *time.Time
	// Environments are their present names, in the order in which it befell them.
	Environments []string
	// Logged and Told count what was said of it in the log and by a door: its
	// beginning, and its end.
	Logged, Told int
	// State is the door's own note of what it has shown.
	State []byte
}

// IncidentRecords remembers what several environments have in common.
type IncidentRecords interface {
	// OpenIncidents gives what is going on now, by the fingerprints of its causes.
	OpenIncidents(ctx context.Context, fingerprints []string) (map[string]Incident, error)
	// UntoldIncidents gives those of which something was not said yet, oldest
	// first: in the log, or else by a door.
	UntoldIncidents(ctx context.Context, log bool) ([]Incident, error)
	// NoteIncident keeps Logged, Told and State, if there is one.
	NoteIncident(ctx context.Context, i Incident) error
}

// quietAfter is how long after it was last seen an incident is over that nothing
// has gone well in since: nobody may try there any more.
const quietAfter = 6 * time.Hour

// Chronicle says in the log, once each, that an incident has begun and that it
// is over. Run is called again and again; what was said is in Records.
type Chronicle struct {
	Records interface {
		IncidentRecords
		// QuietIncidents ends those that were last seen before a time.
		QuietIncidents(ctx context.Context, before time.Time) error
	}
	Now func() time.Time
	Log *slog.Logger
}

// Run says what was not said yet.
func (c *Chronicle) Run(ctx context.Context) error {
	if err := c.Records.QuietIncidents(ctx, c.Now().Add(-quietAfter)); err != nil {
		return err
	}
	all, err := c.Records.UntoldIncidents(ctx, true)
	if err != nil {
		return err
	}
	for _, i := range all {
		what := []any{"code", i.Code, "who", i.Who, "environments", strings.Join(i.Environments, " "), "reason", i.Sentence}
		if i.Ended == nil {
			i.Logged = 1
			c.Log.Error(i.Words(c.Now()), what...)
		} else {
			i.Logged = 2
			c.Log.Info(i.Words(c.Now()), what...)
		}
		i.State = nil // the door's
		if err := c.Records.NoteIncident(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

// outsides are the things outside the servers that can be out of reach; %s is
// which one.
var outsides = map[string]string{
	"git_unreachable":            "The git host %s",
	"package_mirror_unreachable": "The package mirror %s",
	"python_dependency":          "The Python package index %s",
	"node_dependency":            "The npm registry %s",
	"image_not_found":            "The image registry %s",
	"source_missing":             "%s, from where a file is downloaded,",
	"archive_failed":             "%s, from where an archive is downloaded,",
	"cloud_unreachable":          "The cloud at %s",
}

// unreachable names what lies outside the servers and is out of reach, or is
// empty.
func unreachable(code, outside string) string {
	thing, ok := outsides[code]
	if !ok || outside == "" {
		return ""
	}
	return fmt.Sprintf(thing, cut(flat(outside), 80))
}

// Words say in one sentence what is the matter, since when, and how many
// environments have it.
func (i Incident) Words(now time.Time) string {
	n := len(i.Environments)
	many := fmt.Sprintf("%d environments", n)
	are, have := "are", "have"
	if n == 1 {
		many, are, have = "1 environment", "is", "has"
	}
	since := clock(i.Since, now)
	thing := unreachable(i.Code, i.Outside)
	switch {
	case i.Ended == nil && thing != "":
		return fmt.Sprintf("%s has been unreachable since %s; %s %s affected.", thing, since, many, are)
	case thing != "":
		return fmt.Sprintf("%s was unreachable from %s to %s; %s %s affected.", thing, since, clock(*i.Ended, now), many, was(n))
	case i.Ended == nil:
		return cut(fmt.Sprintf("%s %s failed in the same way since %s: %s", many, have, since, i.Sentence), 240)
	}
	return cut(fmt.Sprintf("%s failed in the same way from %s to %s: %s", many, since, clock(*i.Ended, now), i.Sentence), 240)
}

func was(n int) string {
	if n == 1 {
		return "was"
	}
	return "were"
}

// Common is the incident as a cause tells it.
func (i Incident) Common(now time.Time) *Common {
	return &Common{Since: i.Since, Environments: len(i.Environments), Sentence: i.Words(now)}
}

// share tells of each cause of diagnoses that are read whether it befalls other
// environments too, now.
func (s *Service) share(ctx context.Context, all ...*Diagnosis) error {
	if s.Incidents == nil {
		return nil
	}
	var prints []string
	for _, d := range all {
		for i := 0; d != nil && i < len(d.Causes); i++ {
			if p := d.Causes[i].Fingerprint; p != "" {
				prints = append(prints, p)
			}
		}
	}
	if len(prints) == 0 {
		return nil
	}
	open, err := s.Incidents.OpenIncidents(ctx, prints)
	if err != nil {
		return err
	}
	for _, d := range all {
		for i := 0; d != nil && i < len(d.Causes); i++ {
			c := &d.Causes[i]
			c.Common = nil
			if in, ok := open[c.Fingerprint]; ok && len(in.Environments) > 1 {
				c.Common = in.Common(s.Now())
			}
		}
	}
	return nil
}

// fold tells what befalls several servers for one reason once. A developer's
// causes stay apart: each is about code of its own.
func (d *Diagnosis) fold() {
	if d == nil {
		return
	}
	var out []Cause
	for _, c := range d.Causes {
		i := slices.IndexFunc(out, func(o Cause) bool {
			return c.Who != "developer" && o.Code == c.Code && o.Who == c.Who && o.Kin == c.Kin && o.Server != c.Server && o.Server != "" && c.Server != "" && c.Kin != ""
		})
		if i < 0 {
			out = append(out, c)
			continue
		}
		o := &out[i]
		if len(o.Servers) == 0 {
			o.Servers = []string{o.Server}
		}
		if !slices.Contains(o.Servers, c.Server) {
			o.Servers = append(o.Servers, c.Server)
		}
		if thing := unreachable(o.Code, o.Outside); thing != "" && o.Sentence != c.Sentence {
			o.Sentence = thing + " can't be reached." // each names something else of its own
		}
		if c.Fingerprint != o.Fingerprint && !slices.Contains(o.Also, c.Fingerprint) {
			o.Also = append(o.Also, c.Fingerprint)
		}
		o.Blocked, o.BlockedTotal = append(o.Blocked, c.Blocked...), o.BlockedTotal+c.BlockedTotal
	}
	d.Causes = out
}

// Place names the server, or the servers, that a cause is about.
func (c Cause) Place() string {
	if len(c.Servers) > 1 {
		return list(c.Servers)
	}
	return c.Server
}

// Headline is the cause's sentence, with the place before it where it does not
// name it itself.
func (c Cause) Headline() string {
	if p := c.Place(); p != "" && !strings.Contains(c.Sentence, p) {
		return p + ": " + c.Sentence
	}
	return c.Sentence
}
