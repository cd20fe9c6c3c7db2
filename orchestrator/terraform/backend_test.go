package terraform_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/testdata/postgres"
)

// nowhere looks for secrets in every file of the workspaces.
func (h *house) nowhere(secrets ...string) {
	h.Helper()
	err := filepath.WalkDir(filepath.Join(h.data, "workspaces"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		for _, secret := range secrets {
			if bytes.Contains(data, []byte(secret)) {
				h.Errorf("a secret is in %s", path)
			}
		}
		return err
	})
	if err != nil {
		h.Error(err)
	}
}

// byHand runs Terraform in a workspace as ops would.
func (h *house) byHand(dir string, args ...string) (string, error) {
	h.Helper()
	b, _ := binary()
	cmd := exec.Command(b.Path, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CHECKPOINT_DISABLE=1")
	for k, v := range h.env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func numbered(n int, b orchestrator.Backend) orchestrator.Workspace {
	w := workspace("api")
	w.EnvironmentID = fmt.Sprintf("e%d", n)
	w.Servers[0].ID = fmt.Sprintf("sapi%d", n)
	w.State = b
	return w
}

// Eight environments are made in one empty database at the same time: while
// Terraform's lock on a whole database was held, none of the others could be.
func TestPostgres(t *testing.T) {
	h := newHouse(t)
	server := postgres.Start(t)
	h.env = map[string]string{"PG_CONN_STR": server.Database(t, "states")}
	state := orchestrator.Backend{Type: "pg", Attributes: map[string]any{}, Environment: []string{"PG_CONN_STR"}, LockTimeout: 5 * time.Minute}
	const count = 8
	open := h.gate()
	inTheMidst, ended := make(chan int, count), make(chan outcome, count)
	for i := range count {
		go func() {
			m, err := h.p.Apply(t.Context(), numbered(i, state), "r1", func(step, text string) {
				if text == "creating api" {
					inTheMidst <- i
				}
			})
			ended <- outcome{m, err}
		}()
	}
	for range count {
		select {
		case <-inTheMidst:
		case got := <-ended:
			t.Fatalf("ended before all had begun: %+v", got)
		}
	}
	open()
	for range count {
		if got := <-ended; got.err != nil || len(got.machines) != 1 {
			t.Errorf("%+v", got)
		}
	}
	names := "select count(*) from terraform_remote_state.states where name like 'e_'"
	if n := server.Query(t, "states", names); n != fmt.Sprint(count) {
		t.Errorf("%s states are in the database", n)
	}
	h.nowhere(server.Password)

	dir := h.p.Dir("e1")
	if list, err := h.p.List(t.Context(), dir); err != nil || len(list) != 1 {
		t.Errorf("list: %v, %v", list, err)
	}
	// What is no address is quoted with the password in it.
	good := h.env["PG_CONN_STR"]
	h.env["PG_CONN_STR"] = "postgres://berth:Hasel%zzNuss7@127.0.0.1:1/states"
	if list, err := h.p.List(t.Context(), dir); err == nil || strings.Contains(err.Error(), "Hasel") || strings.Contains(fmt.Sprint(errors.Unwrap(err)), "Hasel") {
		t.Errorf("list without a database: %v, %v, %v", list, err, errors.Unwrap(err))
	}
	h.env["PG_CONN_STR"] = good
	if out, err := h.byHand(dir, "plan", "-no-color", "-detailed-exitcode", "-input=false"); err != nil {
		t.Errorf("by hand: %v\n%s", err, out)
	}
	// Without what init left, Terraform is in a workspace that is empty.
	if out, err := h.byHand(dir, "workspace", "select", "default"); err != nil {
		t.Fatal(out)
	}
	if out, err := h.byHand(dir, "plan", "-no-color", "-input=false"); err == nil || !strings.Contains(out, "another workspace than the environment's own") {
		t.Errorf("in another workspace: %v\n%s", err, out)
	}
	// A run of Berth's finds back, and keeps to where the state is whatever the
	// catalog says now.
	again := numbered(1, orchestrator.Backend{Type: "http", Attributes: map[string]any{"address": "http://127.0.0.1:1/x"}})
	if m, err := h.p.Apply(t.Context(), again, "r2", h.progress); err != nil || len(m) != 1 {
		t.Errorf("again: %v, %v", m, err)
	}
	p := h.restart()
	p.Render = nil // no catalog
	if err := p.Destroy(t.Context(), "e1", "r3", h.progress); err != nil {
		t.Fatal(err)
	}
	if n := server.Query(t, "states", names); n != fmt.Sprint(count-1) {
		t.Errorf("%s states are left in the database", n)
	}
	if _, err := os.Stat(filepath.Join(h.servers, "sapi1")); err == nil {
		t.Error("the server is still there")
	}
}
