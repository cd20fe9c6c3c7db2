package orchestrator_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/store/storetest"
)

// What was a secret when a server was given it stays one: in its reports, in what
// it still prints, and after the next settings; its agent is not told again.
func TestFormerSettings(t *testing.T) {
	w := newWorks(t)
	app := orchestrator.App{Name: "web", Repository: "r", Settings: "web.env", Public: []string{"GREETING"}}
	w.x.Catalogs = fixed{&orchestrator.Catalog{Targets: []orchestrator.Target{{Name: "local", Module: "./cloud"}}, Apps: []orchestrator.App{app}}}
	var now atomic.Pointer[map[string]string]
	set := func(values map[string]string) { now.Store(&values) }
	w.x.Settings = func(string) ([]byte, map[string]string, error) { return nil, *now.Load(), nil }
	logs := &printedLines{}
	fleet := &orchestrator.Fleet{Records: w.Store, Environments: w.Store, Events: w.Store, Diagnoser: diagnoser{}, Catalogs: w.x.Catalogs,
		Watcher: w.Store, Settings: w.x.Settings, Logs: logs, Now: w.clock.Now}

	secrets := []string{"first-secret-0", "second-secret-1", "third-secret-2"}
	for i, secret := range secrets {
		set(map[string]string{"DB": secret, "GREETING": "hello everybody " + secret[:5], "PIN_TOKEN": "p" + secret[len(secret)-1:] + "x"})
		id := "o-qa"
		if i == 0 {
			w.submit(storetest.NewEnvironment("qa", "maria", "web"))
		} else {
			id = fmt.Sprint("o", i)
			w.submit(storetest.Change("e-qa", id, orchestrator.KindDeploy, "web"))
		}
		done := w.begin(t.Context(), id)
		w.desired("web", id)
		w.reports("web", orchestrator.Report{Exit: 1, Stdout: `{"local":{}}`, Stderr: "[ERROR] " + strings.Join(secrets, " ") + " p0x", AppLog: "hello everybody first"})
		w.ended(done)
	}
	// The file has changed since the last deploy too.
	set(map[string]string{"DB": "fourth-secret-3"})
	e, err := w.EnvironmentByID(t.Context(), "e-qa")
	if err != nil {
		t.Fatal(err)
	}
	ev, err := w.x.Evidence(context.Background(), e, "", orchestrator.DetailRaw)
	if err != nil {
		t.Fatal(err)
	}
	all, _ := json.Marshal(ev)
	if s := string(all); strings.Contains(s, "secret-") || strings.Contains(s, "p0x") || !strings.Contains(s, "hello everybody first") || strings.Count(s, "••••") != 4 {
		t.Errorf("the evidence: %s", all)
	}
	if err := fleet.Progress(t.Context(), "s-qa-web", []orchestrator.Progress{{Step: "log", Source: "app", Text: "with " + secrets[0] + ", " + secrets[2] + " and fourth-secret-3"}}); err != nil {
		t.Fatal(err)
	}
	if len(logs.texts) != 1 || logs.texts[0] != "with ••••, •••• and ••••" {
		t.Errorf("the log: %q", logs.texts)
	}
	d, err := fleet.Next(t.Context(), "s-qa-web", 0)
	if err != nil || d == nil || d.Formerly != nil {
		t.Errorf("the agent gets %+v, %v", d, err)
	}
	// Out of the catalog, nothing of it is known to be open.
	w.x.Catalogs = fixed{&orchestrator.Catalog{}}
	if ev, err = w.x.Evidence(context.Background(), e, "", orchestrator.DetailRaw); err != nil {
		t.Fatal(err)
	}
	if all, _ := json.Marshal(ev); strings.Contains(string(all), "secret-") {
		t.Errorf("without its app: %s", all)
	}
}
