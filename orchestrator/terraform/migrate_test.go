package terraform_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/render"
	"github.com/berth-dev/berth/orchestrator/terraform"
	"github.com/berth-dev/berth/testdata/postgres"
)

// migrate moves the state of e1 and dies, as by SIGKILL, when it comes to a
// step.
func migrate(args []string) int {
	var to orchestrator.Backend
	if err := json.Unmarshal([]byte(args[2]), &to); err != nil {
		return 2
	}
	p := terraform.New(terraform.Options{Workspaces: filepath.Join(args[0], "workspaces"), Data: args[0], Settle: render.Backend, Place: render.Place,
		Find: terraform.FindOptions{Path: args[3], Offline: true}})
	_, err := p.Migrate(context.Background(), "e1", to, false, func(step string) {
		if step == args[1] {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
	})
	fmt.Fprintln(os.Stderr, "it was not killed:", err)
	return 1
}

// pulled is the state of e1, as far as it must stay the same; its serial never
// goes back.
func (h *house) pulled() string {
	h.Helper()
	raw, err := h.p.Pull(h.Context(), h.p.Dir("e1"), true)
	if err != nil {
		h.Fatal(err)
	}
	var s struct {
		Lineage   string
		Serial    int
		Resources []json.RawMessage
		Outputs   map[string]json.RawMessage
	}
	if err := json.Unmarshal(raw, &s); err != nil || len(s.Resources) != 1 {
		h.Fatalf("%v\n%s", err, raw)
	}
	if s.Serial < h.serial {
		h.Errorf("the serial went back from %d to %d", h.serial, s.Serial)
	}
	h.serial = s.Serial
	return fmt.Sprintf("%s %s %s", s.Lineage, s.Resources, s.Outputs)
}

func TestMigrate(t *testing.T) {
	h := newHouse(t)
	server := postgres.Start(t)
	s, httpState, env := newStateServer(t)
	h.env = env
	h.env["PG_CONN_STR"] = server.Database(t, "states")
	pg := orchestrator.Backend{Type: "pg", Environment: []string{"PG_CONN_STR"}, LockTimeout: time.Minute}
	ctx := t.Context()
	dir := h.p.Dir("e1")

	if m, err := h.p.Migrate(ctx, "e1", httpState, false, nil); err != nil || m.Moved || m.Note != "nothing has been made yet" {
		t.Errorf("of nothing: %+v, %v", m, err)
	}
	open := h.gate()
	creating := h.when("creating api")
	run := h.apply(ctx, h.p, workspace("api"), "op1")
	<-creating
	var e *orchestrator.Error
	if _, err := h.p.Migrate(ctx, "e1", httpState, false, nil); !errors.As(err, &e) || !strings.Contains(e.Message, "op1") {
		t.Errorf("under a run: %v", err)
	}
	open()
	made := <-run
	if made.err != nil {
		t.Fatal(made.err)
	}
	was := h.pulled()

	// Killed at every step, and taken up again by the next.
	to, err := json.Marshal(httpState)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b, _ := binary()
	for _, step := range []string{"reading the state where it is", "copying it to where it is to be", "comparing the copies", "switching over", "putting the old file aside", "making the workspace ready"} {
		cmd := exec.Command(self, "migrate", h.data, step, string(to), b.Path)
		cmd.Env = os.Environ()
		for k, v := range h.env {
			cmd.Env = append(cmd.Env, k+"="+v)
		}
		if out, err := cmd.CombinedOutput(); err == nil || cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("%s: %v\n%s", step, err, out)
		}
		if step != "making the workspace ready" {
			if got := h.pulled(); got != was {
				t.Errorf("killed at %q the state is\n%s\nnot\n%s", step, got, was)
			}
		}
	}
	if m, err := h.p.Migrate(ctx, "e1", httpState, false, nil); err != nil || m.Note != "it is there already" {
		t.Fatalf("taken up: %+v, %v", m, err)
	}
	if got := h.pulled(); got != was || s.states["/e1"] == nil {
		t.Errorf("moved to http it is\n%s\nnot\n%s", got, was)
	}
	aside, _ := filepath.Glob(filepath.Join(dir, "terraform.tfstate*"))
	if len(aside) != 1 || !strings.Contains(aside[0], ".moved-") {
		t.Errorf("beside: %v", aside)
	} else if info, err := os.Stat(aside[0]); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	// What is there is taken up, not made anew, and stays there.
	if m, err := h.p.Apply(ctx, workspace("api"), "op2", h.progress); err != nil || m["sapi"] != made.machines["sapi"] {
		t.Errorf("applied: %v, %v", m, err)
	}

	// From one remote place to another.
	if m, err := h.p.Migrate(ctx, "e1", pg, true, nil); err != nil || m.Moved || m.Resources != 1 || m.From == m.To {
		t.Errorf("only looked: %+v, %v", m, err)
	}
	if n := server.Query(t, "states", "select count(*) from terraform_remote_state.states where name <> 'default'"); n != "0" {
		t.Errorf("looking left %s states", n)
	}
	was = h.pulled()
	m, err := h.p.Migrate(ctx, "e1", pg, false, nil)
	if err != nil || !m.Moved || h.pulled() != was {
		t.Errorf("to pg: %+v, %v", m, err)
	}
	if info, err := os.Stat(m.Backup); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	// The other place has something that has gone on without us.
	s.states["/e1"] = []byte(strings.Replace(string(s.states["/e1"]), `"lineage":`, `"lineage": "another", "old":`, 1))
	if _, err := h.p.Migrate(ctx, "e1", httpState, false, nil); !errors.As(err, &e) || !strings.Contains(e.Message, "another state already") {
		t.Errorf("over another state: %v", err)
	}

	// Home again, and gone.
	if m, err := h.p.Migrate(ctx, "e1", orchestrator.Backend{}, false, nil); err != nil || !m.Moved || h.pulled() != was {
		t.Errorf("back: %+v, %v", m, err)
	}
	if out, err := h.byHand(dir, "plan", "-no-color", "-detailed-exitcode", "-input=false"); err != nil {
		t.Errorf("by hand: %v\n%s", err, out)
	}
	h.nowhere(httpPassword, server.Password)

	// A destroy that is asked for during a move follows it, and leaves nothing
	// where the state is then.
	delete(s.states, "/e1")
	waits, gone := h.when("waiting for the earlier work on this to end"), make(chan error, 1)
	m, err = h.p.Migrate(ctx, "e1", httpState, false, func(step string) {
		if step == "copying it to where it is to be" {
			go func() { gone <- h.p.Destroy(ctx, "e1", "op3", h.progress) }()
			<-waits
		}
	})
	if err != nil || !m.Moved {
		t.Errorf("during a destroy: %+v, %v", m, err)
	}
	if err := <-gone; err != nil {
		t.Fatal(err)
	}
	if s.states["/e1"] != nil || strings.Contains(h.heard(), "could not be removed") {
		t.Errorf("left: %s\n%s", s.states["/e1"], h.heard())
	}
	if _, err := os.Stat(filepath.Join(h.servers, "sapi")); err == nil {
		t.Error("the server is still there")
	}
}
