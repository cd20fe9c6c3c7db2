package storetest

import (
	"slices"
	"testing"
	"time"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/store"
)

// testMachines: what is wrong with a machine is kept, what an owner was told is
// told once, and an end can be shown that nobody has followed.
func testMachines(t *testing.T, open Open) {
	s := open(t, store.Options{})
	submit(t, s, NewEnvironment("qa", "maria", "web"))
	if _, err := s.UpdateServer(t.Context(), "s-qa-web", func(v *orchestrator.Server) error {
		v.Machine, v.ProviderID, v.Opening = orchestrator.MachineGone, "i-1", "80 web"
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	all, err := s.Environments(t.Context(), "")
	if err != nil || len(all) != 1 {
		t.Fatalf("%v, %v", all, err)
	}
	for _, e := range []orchestrator.Environment{environment(t, s, "qa"), all[0]} {
		same(t, "machine", e.Servers[0].Machine, orchestrator.MachineGone)
		same(t, "cloud's ID", e.Servers[0].ProviderID, "i-1")
		same(t, "opening", e.Servers[0].Opening, "80 web")
	}
	notices := func(want ...orchestrator.Noticed) {
		t.Helper()
		all, err := s.Notices(t.Context())
		if err != nil || !slices.Equal(all, want) {
			t.Errorf("notices %+v, %v, want %+v", all, err, want)
		}
	}
	notices()
	one := orchestrator.Noticed{EnvironmentID: "e-qa", Key: "s-qa-web gone i-1", Notice: "e-qa o1 s-qa-web gone i-1", At: Start}
	other := orchestrator.Noticed{EnvironmentID: "e-qa", Key: "s-qa-api gone i-2", Notice: "e-qa o2 s-qa-api gone i-2", At: Start.Add(time.Minute)}
	for _, n := range []orchestrator.Noticed{one, other, one} {
		if err := s.NoteNotice(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	notices(other, one)
	if err := s.ForgetNotice(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	notices(other)
	end(t, s, "o-qa", orchestrator.OperationSucceeded, orchestrator.StatusReady)

	sub := Change("e-qa", "o1", orchestrator.KindDestroy)
	submit(t, s, sub)
	if err := s.End(t.Context(), orchestrator.Ending{OperationID: "o1", Status: orchestrator.OperationSucceeded, At: Start.Add(time.Minute),
		Environment: orchestrator.StatusDestroyed, Show: orchestrator.Origin{Door: "slack", Place: []byte(`{"user":"U1"}`)}}); err != nil {
		t.Fatal(err)
	}
	cards, err := s.OpenCards(t.Context(), "slack")
	if err != nil || len(cards) != 1 || cards[0].OperationID != "o1" || string(cards[0].Place) != `{"user":"U1"}` {
		t.Errorf("cards %+v, %v", cards, err)
	}
}
