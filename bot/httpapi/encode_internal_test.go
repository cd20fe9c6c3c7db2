package httpapi

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/berth-dev/berth/bot/wire"
	"github.com/berth-dev/berth/orchestrator"
)

// Our own encoding is encoding/json's, byte for byte, whatever the values.
func TestAppendEnvironments(t *testing.T) {
	t.Parallel()
	text := rapid.OneOf(rapid.StringMatching(`[a-z0-9/.-]{0,12}`), rapid.String())
	moments := rapid.Custom(func(t *rapid.T) time.Time {
		return time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "s"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns")).UTC()
	})
	pointer := rapid.Ptr(moments, true)
	server := rapid.Custom(func(t *rapid.T) orchestrator.Server {
		return orchestrator.Server{ID: text.Draw(t, "id"), Environment: text.Draw(t, "env"), Name: text.Draw(t, "name"), App: text.Draw(t, "app"),
			Repository: text.Draw(t, "repo"), Branch: text.Draw(t, "branch"), Commit: text.Draw(t, "commit"), Revision: text.Draw(t, "revision"),
			Generation: rapid.Int().Draw(t, "gen"), Status: orchestrator.StatusReady, Agent: orchestrator.AgentOnline, LastSeen: pointer.Draw(t, "seen"),
			Address: text.Draw(t, "address"), Port: rapid.IntRange(0, 2).Draw(t, "port"), URL: text.Draw(t, "url"), Needs: rapid.MapOf(text, text).Draw(t, "needs"),
			Step: text.Draw(t, "step"), Machine: orchestrator.MachineStatus(text.Draw(t, "machine")), ProviderID: text.Draw(t, "provider")}
	})
	operation := rapid.Custom(func(t *rapid.T) *orchestrator.Operation {
		return &orchestrator.Operation{ID: text.Draw(t, "id"), Kind: orchestrator.KindCreate, Status: orchestrator.OperationQueued, Actor: text.Draw(t, "actor"),
			Changes: rapid.SliceOfN(rapid.Just(orchestrator.Change{App: "web", Branch: "a<b\"", Commit: "c"}), 0, 2).Draw(t, "changes"),
			Tries:   rapid.SliceOfN(rapid.Just(orchestrator.Try{FailedAt: time.Unix(5, 0).UTC(), AgainAt: time.Unix(35, 0).UTC(), Sentence: "<away>", Servers: map[string]int{"s": 1}}), 0, 2).Draw(t, "tries"),
			Text:    text.Draw(t, "text"), Apps: rapid.SliceOf(text).Draw(t, "apps"), Position: rapid.IntRange(0, 2).Draw(t, "position"),
			CreatedAt: moments.Draw(t, "created"), StartedAt: pointer.Draw(t, "started"), EndedAt: pointer.Draw(t, "ended")}
	})
	rapid.Check(t, func(t *rapid.T) {
		e := orchestrator.Environment{ID: text.Draw(t, "id"), Name: text.Draw(t, "name"), Owner: text.Draw(t, "owner"), Target: text.Draw(t, "target"),
			Blueprint: text.Draw(t, "blueprint"), Size: text.Draw(t, "size"), Status: orchestrator.StatusFailed, CreatedAt: moments.Draw(t, "created"),
			ExpiresAt: moments.Draw(t, "expires"), Servers: rapid.SliceOfN(server, 0, 3).Draw(t, "servers")}
		if rapid.Bool().Draw(t, "operation?") {
			e.Operation = operation.Draw(t, "operation")
		}
		if rapid.Bool().Draw(t, "diagnosis?") {
			e.Diagnosis = &orchestrator.Diagnosis{Outcome: orchestrator.OutcomeFailed, Causes: []orchestrator.Cause{{Sentence: text.Draw(t, "sentence")}}}
		}
		all := []orchestrator.Environment{e, {}}
		// Long enough for more than one portion.
		repeat := rapid.SampledFrom([]int{1, 1, 1, 2000}).Draw(t, "repeat")
		long := slices.Repeat(all, repeat)
		want, err := json.Marshal(long)
		if err != nil {
			t.Fatal(err)
		}
		var got, lines strings.Builder
		row := rows{w: &lines}
		if err := errors.Join(writeEnvironments(&got, "<", long, ">"), row.add(&all[0]), row.add(&all[1]), row.flush()); err != nil {
			t.Fatal(err)
		}
		if got.String() != "<"+string(want)+">" {
			t.Fatalf("got  %.2000s\nwant %.2000s", got.String(), want)
		}
		read, err := wire.ParseRows(lines.String())
		if err != nil || len(read) != 2 {
			t.Fatalf("rows: %v, %v", read, err)
		}
		oneLine := strings.Map(func(r rune) rune {
			if r < ' ' {
				return ' '
			}
			return r
		}, e.Name)
		if read[0].Name != oneLine && utf8.ValidString(e.Name) || !read[0].ExpiresAt.Equal(e.ExpiresAt.Truncate(time.Second)) || read[0].Status != "failed" {
			t.Fatalf("row %+v of %+v", read[0], e)
		}
	})
}

// A field that is added to the domain has to be added to the encoding too.
func TestEveryFieldIsEncoded(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		v    any
		want string
	}{
		{orchestrator.Environment{}, "id name owner target blueprint size status created_at expires_at servers operation diagnosis"},
		{orchestrator.Server{}, "id environment name app repository branch commit revision generation status agent last_seen address port url needs step machine provider_id"},
		{orchestrator.Operation{}, "id kind status actor text apps position created_at started_at ended_at changes tries"},
	} {
		var got []string
		for f := range reflect.TypeOf(tt.v).Fields() {
			if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "-" {
				got = append(got, name)
			}
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%T has the fields\n%s, the encoding knows\n%s", tt.v, strings.Join(got, " "), tt.want)
		}
	}
}
