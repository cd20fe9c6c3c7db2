package orchestrator_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/store/storetest"
)

// Evidence tells how far each server came and hands out what was printed,
// masked: the last run counts, and what the app said after it.
func TestEvidence(t *testing.T) {
	w := newWorks(t)
	const secret = "hunter22-and-more"
	w.x.Catalogs = fixed{&orchestrator.Catalog{Apps: []orchestrator.App{{Name: "api", Settings: "api.env"}, {Name: "web", Settings: "web.env"}}}}
	w.x.Settings = func(string) ([]byte, map[string]string, error) { return nil, map[string]string{"DB": secret}, nil }
	w.x.Logs = func(_, app string, _ int) (string, error) { return "12:00 " + app + " " + secret, nil }
	w.x.RunLog = func(_, operation string) (string, error) { return "{" + operation + " " + secret + "}", nil }
	w.submit(storetest.NewEnvironment("qa", "maria", "api", "web"))
	started := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, r := range []orchestrator.Report{
		{Generation: 1, Run: "1", StartedAt: started, EndedAt: started, Stdout: `{"local":"old"}`, Exit: 1},
		{Generation: 1, Run: "2", StartedAt: started, EndedAt: started.Add(time.Second), Stdout: `{"local":"` + secret + `"}`, Stderr: "[ERROR] " + secret, Exit: 2, AppLog: "starting"},
		{Generation: 1, Run: "3", Later: true, HealthDetail: "it said " + secret, AppLog: "died of " + secret},
	} {
		if _, err := w.SaveReport(t.Context(), "s-qa-web", r); err != nil {
			t.Fatal(err)
		}
	}
	set := func(app string, status orchestrator.Status) {
		if _, err := w.UpdateServer(t.Context(), "s-qa-"+app, func(v *orchestrator.Server) error {
			v.Status, v.Generation = status, 1
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	set("web", orchestrator.StatusFailed)
	set("api", orchestrator.StatusReady)
	if err := w.End(t.Context(), orchestrator.Ending{OperationID: "o-qa", Status: orchestrator.OperationFailed, At: w.clock.Now(), Environment: orchestrator.StatusFailed}); err != nil {
		t.Fatal(err)
	}
	e, err := w.EnvironmentByID(t.Context(), "e-qa")
	if err != nil {
		t.Fatal(err)
	}
	gather := func(app string, detail orchestrator.Detail) *orchestrator.Evidence {
		ev, err := w.x.Evidence(context.Background(), e, app, detail)
		if err != nil {
			t.Fatal(err)
		}
		if all, _ := json.Marshal(ev); strings.Contains(string(all), secret) {
			t.Errorf("a secret is told: %s", all)
		}
		return ev
	}
	all := gather("", orchestrator.DetailAll)
	if len(all.Servers) != 2 || all.Files != nil {
		t.Fatalf("%+v", all)
	}
	for _, v := range all.Servers {
		if v.App == "api" && (v.Exit != nil || v.Problem != "" || v.Status != orchestrator.StatusReady) {
			t.Errorf("api has reported nothing: %+v", v)
		}
		if v.App == "web" && (v.Exit == nil || *v.Exit != 2 || v.Total != 1 || v.Failed != 1 || v.Problem != "it said ••••" || !v.EndedAt.Equal(started.Add(time.Second))) {
			t.Errorf("web: %+v", v)
		}
	}
	names := func(ev *orchestrator.Evidence) string {
		var out []string
		for _, f := range ev.Files {
			out = append(out, f.Name+"="+strings.ReplaceAll(f.Text, "••••", "*"))
		}
		return strings.Join(out, "\n")
	}
	raw := names(gather("", orchestrator.DetailRaw))
	if want := `qa-web-result.json={"local":"*"}
qa-web-stderr.log=[ERROR] *
qa-web-app.log=died of *
qa-web.log=12:00 web *
qa-machines.jsonl={o-qa *}`; raw != want {
		t.Errorf("files:\n%s\nwant:\n%s", raw, want)
	}
	if one := names(gather("api", orchestrator.DetailRaw)); one != "qa-api.log=12:00 api *" {
		t.Errorf("of api:\n%s", one)
	}
}

// What is too long is cut where characters begin, and says so.
func TestCut(t *testing.T) {
	t.Parallel()
	if text, cut := orchestrator.Cut("short", 5); cut || text != "short" {
		t.Errorf("%q, %v", text, cut)
	}
	long := strings.Repeat("ä", 1000)
	for limit := range 40 {
		text, cut := orchestrator.Cut(long, limit)
		if !cut || !utf8.ValidString(text) || !strings.Contains(text, "bytes are left out here") || len(text) > limit+60 {
			t.Errorf("%d: %q", limit, text)
		}
	}
}
