package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/berth-dev/berth/bot/wire"
	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/terraform"
)

// environmentID is what an immutable ID looks like; see newID.
var environmentID = regexp.MustCompile(`^e[a-z2-7]{12}$`)

// readState reads a workspace as q says.
func readState(ctx context.Context, p *terraform.Provisioner, dir string, q wire.StateQuery) (wire.State, error) {
	switch q.What {
	case "path":
		return stateAnswer(dir, map[string]string{"path": dir})
	case "list":
		all, err := p.List(ctx, dir)
		if err != nil {
			return wire.State{}, err
		}
		var lines strings.Builder
		for _, r := range all {
			tainted := ""
			if r.Tainted {
				tainted = "  (tainted)"
			}
			fmt.Fprintf(&lines, "%s  %s%s\n", r.Address, r.ID, tainted)
		}
		return stateAnswer(lines.String(), all)
	case "show":
		out, err := p.Show(ctx, dir, q.Resource, q.Sensitive)
		return verbatim(out), err
	case "pull":
		out, err := p.Pull(ctx, dir, q.Sensitive)
		return verbatim(out), err
	case "plan":
		plan, err := p.Plan(ctx, dir, q.Sensitive)
		if err != nil {
			return wire.State{}, err
		}
		return stateAnswer(plan.Text, plan)
	case "settle":
		n, err := p.Looked(dir)
		if err != nil {
			return wire.State{}, err
		}
		text := "Nothing is open: no interrupted work is waited for here."
		if n > 0 {
			text = "Noted: what the interrupted work may have made has been looked for. Go on with berth env retry."
		}
		return stateAnswer(text, map[string]int{"settled": n})
	}
	return wire.State{}, orchestrator.Errorf(orchestrator.CodeInvalidValue, "A state cannot be asked for %q.", q.What).WithHint("path, list, show, pull, plan or settle")
}

// verbatim is JSON as it is; there is none of what has never been applied.
func verbatim(out []byte) wire.State {
	s := wire.State{Text: string(out)}
	if json.Valid(out) {
		s.Value = out
	}
	return s
}

func stateAnswer(text string, value any) (wire.State, error) {
	raw, err := json.Marshal(value)
	return wire.State{Text: text, Value: raw}, err
}

// openWorkspace says whether an environment has a workspace that this process
// may read.
func openWorkspace(dir, name string) error {
	_, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return orchestrator.Errorf(orchestrator.CodeNotFound, "%s has no workspace: nothing has been made yet.", name).
			WithHint("look at what there is: berth env show %s", name)
	case err != nil:
		return fmt.Errorf("reading the workspace of %s: %w", name, err)
	}
	return nil
}

// state answers ops who may not read the workspace themselves.
func (h *house) state(ctx context.Context, name string, q wire.StateQuery) (wire.State, error) {
	id := name
	if !environmentID.MatchString(name) {
		e, err := h.service.Do(ctx, orchestrator.Actor{Name: "berth", Ops: true}, orchestrator.Command{Noun: orchestrator.NounEnv, Verb: orchestrator.VerbShow, Environment: name})
		if err != nil {
			return wire.State{}, err
		}
		id = e.Environment.ID
	}
	dir := workspaceDir(h.options.Data, id)
	if err := openWorkspace(dir, name); err != nil {
		return wire.State{}, err
	}
	return readState(ctx, h.provisioner, dir, q)
}

// askState reads the state of an environment, by name or by ID. Whoever may
// read the workspace, root or the user that runs Berth, reads it without a
// serve; everybody else asks serve, which knows who is ops.
func askState(ctx context.Context, data, name string, q wire.StateQuery) (wire.State, error) {
	berth := connect(data)
	if os.Getenv("BERTH_URL") != "" {
		return berth.State(ctx, name, q)
	}
	id := name
	if !environmentID.MatchString(name) {
		a, err := berth.Do(ctx, "env show "+name)
		if err != nil {
			return wire.State{}, err
		}
		id = a.Environment.ID
	}
	dir := workspaceDir(data, id)
	switch err := openWorkspace(dir, name); {
	case errors.Is(err, fs.ErrPermission):
		s, err := berth.State(ctx, name, q)
		var e *orchestrator.Error
		if errors.As(err, &e) && (e.Code == orchestrator.CodeNotAllowed || e.Code == orchestrator.CodeNoBerth) {
			refused := orchestrator.Errorf(orchestrator.CodeNotAllowed, "Only ops may look into the Terraform state of %s.", name).
				WithHint("ask somebody in ops, or run this as root or as the user that runs berth serve")
			if e.Code == orchestrator.CodeNoBerth {
				refused = refused.WithHint("start berth serve, which knows who is ops, or run this as root or as the user that runs it")
			}
			return s, refused
		}
		return s, err
	case err != nil:
		return wire.State{}, err
	}
	self, err := os.Executable()
	if err != nil {
		return wire.State{}, fmt.Errorf("finding Berth's own program: %w", err)
	}
	p := terraform.New(terraform.Options{Workspaces: filepath.Dir(dir), Data: data, Berth: self,
		Find: terraform.FindOptions{Path: os.Getenv("BERTH_TERRAFORM"), Data: data}})
	return readState(ctx, p, dir, q)
}

func newStateCommand() *cobra.Command {
	c := group(&cobra.Command{Use: "state", Short: "Look into an environment's Terraform workspace (ops)",
		Long: `Look into an environment's Terraform workspace, by the environment's name or its
ID. For ops: root and the user that runs Berth read the workspace itself, other
ops get it from the running Berth. Sensitive values are masked.`,
		Example: "  berth state list qa\n  berth state show qa module.api\n  cd \"$(berth state path qa)\" && terraform plan"})
	c.PersistentFlags().Bool("json", false, "print JSON")
	c.PersistentFlags().Bool("show-sensitive", false, "do not mask sensitive values")
	for _, one := range []struct {
		what, use, short string
		most             int
	}{
		{"path", "path ENV", "Print the workspace's folder", 1},
		{"list", "list ENV", "List the resources in the state", 1},
		{"show", "show ENV [RESOURCE]", "Show resources with their attributes", 2},
		{"pull", "pull ENV", "Print the whole state", 1},
		{"plan", "plan ENV", "Show what an apply would change now", 1},
		{"settle", "settle ENV", "Say that you have looked in the cloud for what interrupted work may have made", 1},
	} {
		c.AddCommand(&cobra.Command{Use: one.use, Short: one.short, Args: needWords(1, one.most), ValidArgsFunction: completeEnvironment, RunE: func(cmd *cobra.Command, args []string) error {
			q := wire.StateQuery{What: one.what}
			q.Sensitive, _ = cmd.Flags().GetBool("show-sensitive")
			if len(args) == 2 {
				q.Resource = args[1]
			}
			s, err := askState(cmd.Context(), dataFolder(cmd), args[0], q)
			if err != nil {
				return err
			}
			if asked, _ := cmd.Flags().GetBool("json"); asked {
				writeJSON(cmd.OutOrStdout(), s.Value)
				return nil
			}
			if text := strings.TrimRight(s.Text, "\n"); text != "" {
				fmt.Fprintln(cmd.OutOrStdout(), text)
			}
			return nil
		}})
	}
	return c
}
