package orchestrator_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/diagnose"
	"github.com/berth-dev/berth/orchestrator/store/storetest"
)

func TestSeen(t *testing.T) {
	t.Parallel()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		berlin = time.FixedZone("CET", 3600)
	}
	now := time.Date(2026, 11, 24, 0, 30, 0, 0, berlin) // a Tuesday, half past midnight
	for _, c := range []struct {
		count int
		first time.Time
		want  string
	}{
		{1, now.Add(-time.Hour), ""},
		{2, now.Add(-10 * time.Minute), "Seen 2 times today"},
		{2, now.Add(-10 * time.Minute).UTC(), "Seen 2 times today"}, // yesterday only in Greenwich
		{2, now.Add(time.Minute), "Seen 2 times today"},             // clocks differ
		{3, now.Add(-time.Hour), "Seen 3 times since yesterday"},
		{5, now.AddDate(0, 0, -2), "Seen 5 times since Sunday"},
		{5, now.AddDate(0, 0, -6), "Seen 5 times since Wednesday"},
		{5, now.AddDate(0, 0, -7), "Seen 5 times since 17 November"},
		{5, now.AddDate(0, -2, 0), "Seen 5 times since 24 September"},
		{5, time.Date(2026, 10, 25, 0, 10, 0, 0, berlin), "Seen 5 times since 25 October"}, // a day of 25 hours lies between
	} {
		if got := orchestrator.Seen(c.count, c.first, now); got != c.want {
			t.Errorf("%d since %s: %q, want %q", c.count, c.first, got, c.want)
		}
	}
}

func TestHistoryWords(t *testing.T) {
	t.Parallel()
	with := func(by, how string) *orchestrator.History {
		return &orchestrator.History{Seen: "Seen 5 times since Monday", Mended: &orchestrator.Mending{By: by, How: how}}
	}
	for _, c := range []struct {
		h             *orchestrator.History
		text, command string
	}{
		{nil, "", ""},
		{&orchestrator.History{Note: &orchestrator.CauseNote{Text: "x"}}, "", ""},
		{&orchestrator.History{Seen: "Seen 2 times today"}, "Seen 2 times today.", ""},
		{with("tom", "env deploy qa api=main"), "Seen 5 times since Monday, last mended by tom with", "env deploy qa api=main"},
		{with("tom", "env retry qa"), "Seen 5 times since Monday, last mended by tom, by trying again.", ""},
		{with("tom", ""), "Seen 5 times since Monday, last mended by tom.", ""},
		{with(orchestrator.Itself, "env retry qa"), "Seen 5 times since Monday; the last time it went well when Berth tried again.", ""},
	} {
		if text, command := c.h.Words(); text != c.text || command != c.command {
			t.Errorf("%+v: %q %q", c.h, text, command)
		}
	}
}

// memory is a desk with one environment that has failed.
func memory(t *testing.T) *desk {
	t.Helper()
	d := newDesk(t)
	d.Causes = d.store
	d.must(t, maria, "env create qa shop")
	d.fail(t, "qa", failed("command_failed", "api"), failed("disk_full", ""))
	return d
}

// failed is a cause as an executor ends an operation with.
func failed(code, app string) orchestrator.Occurrence {
	return orchestrator.Occurrence{Fingerprint: orchestrator.Fingerprint(code, app, ""), Code: code, Who: "developer", App: app, Sentence: "It failed.", Evidence: "line 1"}
}

// fail ends the running operation of an environment with these causes.
func (d *desk) fail(t *testing.T, name string, all ...orchestrator.Occurrence) {
	t.Helper()
	e, err := d.store.Environment(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	end := orchestrator.Ending{OperationID: e.Operation.ID, Status: orchestrator.OperationFailed, At: d.now, Environment: orchestrator.StatusFailed,
		Diagnosis: &orchestrator.Diagnosis{Outcome: orchestrator.OutcomeFailed}}
	for _, o := range all {
		o.EnvironmentID, o.Environment, o.Operation, o.At = e.ID, e.Name, e.Operation.ID, d.now
		end.Occurrences = append(end.Occurrences, o)
		end.Diagnosis.Causes = append(end.Diagnosis.Causes, orchestrator.Cause{Code: o.Code, Who: o.Who, Sentence: o.Sentence, Fingerprint: o.Fingerprint})
	}
	if err := d.store.End(t.Context(), end); err != nil {
		t.Fatal(err)
	}
}

// What is known from before comes with a cause from the second time on,
// whoever reads it and however.
func TestRecall(t *testing.T) {
	t.Parallel()
	d := memory(t)
	causes := func(text string) []orchestrator.Cause {
		t.Helper()
		e := d.must(t, maria, text)
		if e.Environments != nil {
			return (*e.Environments)[0].Diagnosis.Causes
		}
		return e.Environment.Diagnosis.Causes
	}
	if h := causes("env why qa")[0].History; h != nil {
		t.Errorf("the first time: %+v", h)
	}
	d.now = d.now.Add(72 * time.Hour)
	d.must(t, maria, "env retry qa")
	d.end(t, "qa", orchestrator.OperationSucceeded, orchestrator.StatusReady)
	d.must(t, maria, "env deploy qa api=feature/login")
	d.fail(t, "qa", failed("command_failed", "api"))
	for _, text := range []string{"env why qa", "env show qa", "env list", "server show qa/api"} {
		h := causes(text)[0].History
		if h == nil || h.Count != 2 || !strings.HasPrefix(h.Seen, "Seen 2 times since ") || h.Mended == nil || h.Mended.By != "maria" || h.Note != nil {
			t.Fatalf("%s: %+v", text, h)
		}
	}
	// A list does not change what others read from the store.
	all, err := d.store.Environments(t.Context(), "")
	if err != nil || all[0].Diagnosis.Causes[0].History != nil {
		t.Errorf("%+v, %v", all[0].Diagnosis, err)
	}
	e, err := d.EnvironmentByID(t.Context(), all[0].ID)
	if err != nil || e.Diagnosis.Causes[0].History == nil {
		t.Errorf("%+v, %v", e.Diagnosis, err)
	}
	op, err := d.Service.Operation(t.Context(), e.Operation.ID)
	if err != nil || op.Diagnosis.Causes[0].History == nil {
		t.Errorf("%+v, %v", op.Diagnosis, err)
	}
}

var head = orchestrator.Actor{Name: "olga", Ops: true}

func TestCauseNotes(t *testing.T) {
	t.Parallel()
	d := memory(t)
	d.settings = map[string]string{"DB_PASSWORD": "abc123", "PUBLIC": "x"}
	d.catalog.Apps[0].Settings = "api.env"
	d.Hide = diagnose.Hide
	print := failed("command_failed", "api").Fingerprint
	k, err := d.NoteCause(t.Context(), head, strings.ToUpper(print[:5]), "  Two\nlines\x1b[31m, the password is abc123, the token ghp_0123456789abcdefghij0123456789abcdef ")
	if err != nil {
		t.Fatal(err)
	}
	if n := k.Note; n == nil || !strings.HasPrefix(n.Text, "Two lines") || strings.Contains(n.Text, "abc123") || strings.Contains(n.Text, "ghp_") || strings.Contains(n.Text, "\x1b") || n.By != "olga" {
		t.Errorf("%+v", n)
	}
	if h := d.must(t, maria, "env why qa").Environment.Diagnosis.Causes[0].History; h == nil || h.Note == nil || h.Note.Text != k.Note.Text || h.Seen != "" {
		t.Errorf("a note is shown with what was seen once too: %+v", h)
	}
	if _, err := d.NoteCause(t.Context(), head, print, strings.Repeat("é", 500)); err != nil {
		t.Errorf("500 characters: %v", err)
	}
	for _, c := range []struct {
		actor       orchestrator.Actor
		print, text string
		code        orchestrator.Code
	}{
		{maria, print, "x", orchestrator.CodeNotAllowed},
		{head, print, strings.Repeat("é", 501), orchestrator.CodeInvalidValue},
		{head, "not one", "x", orchestrator.CodeInvalidValue},
		{head, "", "x", orchestrator.CodeInvalidValue},
		{head, "zzzzzzzzzz", "x", orchestrator.CodeNotFound},
	} {
		if _, err := d.NoteCause(t.Context(), c.actor, c.print, c.text); code(err) != c.code {
			t.Errorf("%q %.10q: %v", c.print, c.text, err)
		}
	}
	if k, err = d.NoteCause(t.Context(), head, print, " \n"); err != nil || k.Note != nil {
		t.Errorf("%+v, %v", k.Note, err)
	}
	if h := d.must(t, maria, "env why qa").Environment.Diagnosis.Causes[0].History; h != nil {
		t.Errorf("%+v", h)
	}
}

func TestCauseBook(t *testing.T) {
	t.Parallel()
	d := memory(t)
	for _, ask := range []func(a orchestrator.Actor) error{
		func(a orchestrator.Actor) error {
			_, err := d.ListCauses(t.Context(), a, orchestrator.CauseFilter{})
			return err
		},
		func(a orchestrator.Actor) error {
			_, err := d.ShowCause(t.Context(), a, failed("disk_full", "").Fingerprint)
			return err
		},
	} {
		if err := ask(maria); code(err) != orchestrator.CodeNotAllowed {
			t.Errorf("a developer: %v", err)
		}
		if err := ask(head); err != nil {
			t.Error(err)
		}
	}
	list := func(f orchestrator.CauseFilter) (int, *orchestrator.Error) {
		t.Helper()
		all, err := d.ListCauses(t.Context(), head, f)
		var e *orchestrator.Error
		if err != nil && !errors.As(err, &e) {
			t.Fatal(err)
		}
		return len(all), e
	}
	for _, c := range []struct {
		f         orchestrator.CauseFilter
		n         int
		suggested string
	}{
		{orchestrator.CauseFilter{}, 2, ""},
		{orchestrator.CauseFilter{App: "api"}, 1, ""},
		{orchestrator.CauseFilter{App: "web"}, 0, ""},
		{orchestrator.CauseFilter{App: "wbe"}, 0, "web"},
		{orchestrator.CauseFilter{Code: "disk_ful"}, 0, "disk_full"},
		{orchestrator.CauseFilter{Code: "port_in_use"}, 0, ""},
		{orchestrator.CauseFilter{Code: "disk_full", Since: d.now.Add(time.Second)}, 0, ""},
	} {
		n, e := list(c.f)
		if n != c.n || (e != nil) != (c.suggested != "") || e != nil && !strings.Contains(e.Hint, c.suggested) {
			t.Errorf("%+v: %d, %+v", c.f, n, e)
		}
	}
	if _, e := list(orchestrator.CauseFilter{App: "nosuchthing"}); e == nil || e.Code != orchestrator.CodeAppUnknown {
		t.Errorf("an app that there never was: %+v", e)
	}

	// The beginning is enough where it is unique.
	a, b := failed("command_failed", "api"), failed("disk_full", "")
	twin := a
	twin.Fingerprint = a.Fingerprint[:9] + "2"
	if twin.Fingerprint == a.Fingerprint {
		twin.Fingerprint = a.Fingerprint[:9] + "3"
	}
	d.must(t, maria, "env retry qa")
	d.fail(t, "qa", twin, b)
	if _, err := d.ShowCause(t.Context(), head, a.Fingerprint[:9]); code(err) != orchestrator.CodeNotFound || !strings.Contains(err.Error(), "2 fingerprints") {
		t.Errorf("ambiguous: %v", err)
	}
	if c, err := d.ShowCause(t.Context(), head, b.Fingerprint[:6]); err != nil || c.Count != 2 || len(c.Occurrences) != 2 || c.Evidence != "line 1" || c.Occurrences[0].Evidence != "" {
		t.Errorf("%+v, %v", c, err)
	}
	var e *orchestrator.Error
	if _, err := d.ShowCause(t.Context(), head, b.Fingerprint[:8]+"zz"); !errors.As(err, &e) || len(e.Suggestions) == 0 || e.Suggestions[0] != b.Fingerprint {
		t.Errorf("near: %+v", e)
	}
}

// The executor remembers what its operations end with, by fingerprints that are
// the same for another environment; what a person cancels is no failure.
func TestRemembered(t *testing.T) {
	w := newWorks(t)
	w.submit(storetest.NewEnvironment("qa", "maria", "api", "web"))
	done := w.begin(context.Background(), "o-qa")
	w.desired("web", "o-qa")
	w.report("api", 1)
	w.report("web", 1)
	w.ended(done)
	all, err := w.Occurrences(context.Background(), orchestrator.CauseFilter{})
	if err != nil || len(all) != 2 {
		t.Fatalf("%+v, %v", all, err)
	}
	web, api := all[0], all[1]
	if api.App != "api" || web.App != "web" || api.Fingerprint == web.Fingerprint || api.Kin != web.Kin || api.Environment != "qa" || api.Server != "qa/api" ||
		api.Operation != "o-qa" || api.Sentence != "The build failed." {
		t.Errorf("%+v\n%+v", api, web)
	}
	op, err := w.Store.Operation(context.Background(), "o-qa")
	if err != nil || op.Diagnosis.Causes[0].Fingerprint != api.Fingerprint {
		t.Errorf("%+v, %v", op.Diagnosis, err)
	}
	w.submit(storetest.Change("e-qa", "o1", orchestrator.KindRetry, "api", "web"))
	if err := w.RequestCancel(context.Background(), orchestrator.Cancellation{OperationID: "o1"}); err != nil {
		t.Fatal(err)
	}
	w.ended(w.begin(context.Background(), "o1"))
	if all, err = w.Occurrences(context.Background(), orchestrator.CauseFilter{}); err != nil || len(all) != 2 {
		t.Errorf("after a cancel: %+v, %v", all, err)
	}
	var shown struct{ Causes []map[string]any }
	raw, err := json.Marshal(op.Diagnosis)
	if err == nil {
		err = json.Unmarshal(raw, &shown)
	}
	if err != nil || shown.Causes[0]["fingerprint"] != api.Fingerprint || shown.Causes[0]["history"] != nil {
		t.Errorf("%s, %v", raw, err)
	}
}

// What is told as one cause has the note and the history of each that it
// stands for.
func TestRecallOfOneReasonForSeveralServers(t *testing.T) {
	w := newWorks(t)
	w.x.Diagnoser = finds{Code: "disk_full", Who: "ops", Sentence: "The server's disk is full."}
	d := w.fails("qa", "api", "web")
	if len(d.Causes) != 1 || len(d.Causes[0].Also) != 1 {
		t.Fatalf("%+v", d.Causes)
	}
	s := &orchestrator.Service{Operations: w.Store, Causes: w.Store, Now: w.clock.Now}
	history := func(operation string) *orchestrator.History {
		t.Helper()
		op, err := s.Operation(context.Background(), operation)
		if err != nil {
			t.Fatal(err)
		}
		return op.Diagnosis.Causes[0].History
	}
	if h := history("o-qa"); h != nil {
		t.Errorf("the first time: %+v", h)
	}
	if err := w.SetCauseNote(context.Background(), orchestrator.CauseNote{Fingerprint: d.Causes[0].Also[0], Text: "a larger one comes on Monday", By: "olga", At: w.clock.Now()}); err != nil {
		t.Fatal(err)
	}
	if h := history("o-qa"); h == nil || h.Note == nil || h.Seen != "" {
		t.Errorf("with a note on the second: %+v", h)
	}
	w.fails("qb", "api")
	if h := history("o-qa"); h == nil || h.Note == nil || h.Count != 2 || h.Seen == "" {
		t.Errorf("when the first has come again: %+v", h)
	}
}
