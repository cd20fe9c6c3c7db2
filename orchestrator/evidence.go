package orchestrator

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	// maxFile bounds one file of evidence, maxFiles all of them, in bytes.
	maxFile  = 4 << 20
	maxFiles = 32 << 20
)

// Evidence is what is known of an environment beside its diagnosis: how far
// each server came and, where it was asked for, what the programs printed.
// Nothing in it tells a secret.
type Evidence struct {
	Servers []ServerEvidence `json:"servers"`
	Files   []EvidenceFile   `json:"files,omitempty"`
}

// ServerEvidence is how far a server came the last time that it was set up.
// Failed counts the steps that failed by themselves, Blocked those that did not
// run because of them. Exit is Salt's exit status as a shell sees it, nil where
// the server has reported no run.
type ServerEvidence struct {
	Server    string     `json:"server"`
	App       string     `json:"app"`
	Status    Status     `json:"status"`
	Branch    string     `json:"branch"`
	Commit    string     `json:"commit"`
	Succeeded int        `json:"succeeded"`
	Failed    int        `json:"failed"`
	Blocked   int        `json:"blocked"`
	Total     int        `json:"total"`
	Exit      *int       `json:"exit"`
	StartedAt *time.Time `json:"started_at"`
	EndedAt   *time.Time `json:"ended_at"`
	// Problem is why the set-up could not begin, or why the app is not well.
	Problem string `json:"problem,omitempty"`
}

// EvidenceFile is what a program printed. Bytes is how much that was; Text has
// less where Cut says so, and shows where something was left out.
type EvidenceFile struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	Text  string `json:"text"`
	Bytes int    `json:"bytes"`
	Cut   bool   `json:"cut,omitempty"`
}

// Evidence gathers what is known of e; app narrows it to one server. Files of
// servers that are well are left out where another one has failed.
func (x *Executor) Evidence(ctx context.Context, e Environment, app string, detail Detail) (*Evidence, error) {
	out := &Evidence{Servers: []ServerEvidence{}}
	f := &files{}
	troubled := slices.ContainsFunc(e.Servers, func(v Server) bool { return v.Status == StatusFailed && (app == "" || v.App == app) })
	for _, v := range e.Servers {
		if app != "" && v.App != app {
			continue
		}
		a, _ := x.Catalogs.Current().App(v.App)
		mask := x.masks.server(a, v, x.Settings).text
		reports, err := x.Servers.Reports(ctx, v.ID, v.Generation)
		if err != nil {
			return nil, err
		}
		out.Servers = append(out.Servers, x.serverEvidence(a, v, reports, mask))
		if detail == DetailRaw && (!troubled || v.Status != StatusReady) {
			if err := x.serverFiles(f, e, v, reports, mask); err != nil {
				return nil, err
			}
		}
	}
	if detail == DetailRaw && app == "" {
		if err := x.runFile(ctx, f, e); err != nil {
			return nil, err
		}
	}
	out.Files = f.all
	return out, nil
}

// newest gives the last report of a run, and the last one at all, of reports
// that begin with the newest.
func newest(reports []Report) (ran, last *Report) {
	for i := range reports {
		if last == nil {
			last = &reports[i]
		}
		if !reports[i].Later {
			return &reports[i], last
		}
	}
	return nil, last
}

func (x *Executor) serverEvidence(a App, v Server, reports []Report, mask func(string) string) ServerEvidence {
	out := ServerEvidence{Server: v.Name, App: v.App, Status: v.Status, Branch: v.Branch, Commit: v.Commit}
	ran, last := newest(reports)
	if ran != nil {
		d := x.Diagnoser.Report(a, v.Branch, *ran, mask)
		out.Succeeded, out.Blocked, out.Total = d.Succeeded, d.Blocked, d.Total
		out.Failed = max(0, d.Total-d.Succeeded-d.Blocked)
		out.Exit, out.StartedAt, out.EndedAt = &ran.Exit, &ran.StartedAt, &ran.EndedAt
		out.Problem = mask(ran.Problem)
	}
	if last != nil && !last.Healthy && out.Problem == "" {
		out.Problem = mask(last.HealthDetail)
	}
	return out
}

// serverFiles adds what a server's programs printed.
func (x *Executor) serverFiles(f *files, e Environment, v Server, reports []Report, mask func(string) string) error {
	name := e.Name + "-" + v.App
	if ran, last := newest(reports); last != nil {
		if ran != nil {
			kind := "txt"
			if json.Valid([]byte(ran.Stdout)) {
				kind = "json"
			}
			f.add(name+"-result."+kind, "What Salt answered on "+v.Name, mask(ran.Stdout))
			f.add(name+"-stderr.log", "What Salt logged on "+v.Name, mask(ran.Stderr))
		}
		f.add(name+"-app.log", "What "+v.Name+" itself printed", mask(last.AppLog))
	}
	if x.Logs == nil {
		return nil
	}
	text, err := x.Logs(e.ID, v.App, maxFile)
	if err != nil {
		return fmt.Errorf("reading the log of %s: %w", v.Name, err)
	}
	f.add(name+".log", "Log of "+v.Name, mask(text))
	return nil
}

// runFile adds the log of the last operation that failed while it made or
// removed machines.
func (x *Executor) runFile(ctx context.Context, f *files, e Environment) error {
	if x.RunLog == nil {
		return nil
	}
	ops, err := x.Operations.Operations(ctx, e.ID) // newest first
	if err != nil {
		return err
	}
	for _, op := range ops {
		if op.Status == OperationSucceeded || !op.Status.Ended() {
			continue
		}
		log, err := x.RunLog(e.ID, op.ID)
		if err != nil {
			return fmt.Errorf("reading the log of the operation %s: %w", op.ID, err)
		}
		if log == "" {
			continue
		}
		for _, v := range e.Servers {
			a, _ := x.Catalogs.Current().App(v.App)
			log = x.masks.server(a, v, x.Settings).text(log)
		}
		f.add(e.Name+"-machines.jsonl", "What Terraform logged in operation "+op.ID, log)
		return nil
	}
	return nil
}

// files gathers files within their bounds.
type files struct {
	all  []EvidenceFile
	size int
}

// add takes a text that tells no secret any more, unless it is empty.
func (f *files) add(name, title, text string) {
	if strings.TrimSpace(text) == "" {
		return
	}
	file := EvidenceFile{Name: name, Title: title, Bytes: len(text)}
	file.Text, file.Cut = Cut(strings.ToValidUTF8(text, "\ufffd"), min(maxFile, maxFiles-f.size))
	if file.Cut {
		file.Title += " (cut)"
	}
	f.size += len(file.Text)
	f.all = append(f.all, file)
}

// Cut shortens a text to about limit bytes: its first quarter and its end, with
// a line between them that says how much is left out.
func Cut(text string, limit int) (short string, cut bool) {
	if len(text) <= limit {
		return text, false
	}
	head, tail := max(0, limit/4), len(text)-max(0, limit-limit/4)
	for head > 0 && !utf8.RuneStart(text[head]) {
		head--
	}
	for tail < len(text) && !utf8.RuneStart(text[tail]) {
		tail++
	}
	return fmt.Sprintf("%s\n… %d bytes are left out here …\n%s", text[:head], tail-head, text[tail:]), true
}
