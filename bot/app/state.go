package app

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/berth-dev/berth/bot/console"
	"github.com/berth-dev/berth/bot/wire"
	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/lazyregexp"
	"github.com/berth-dev/berth/orchestrator/terraform"
)

// environmentID is what an immutable ID looks like; see newID.
var environmentID = lazyregexp.New(`^e[a-z2-7]{12}$`)

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
		// The list is good also where nobody can say who holds the lock.
		if l, err := p.StateLock(ctx, dir); err == nil && l != nil {
			fmt.Fprintf(&lines, "\nThe state is %s.\n", *l)
		}
		return stateAnswer(lines.String(), all)
	case "lock":
		l, err := p.StateLock(ctx, dir)
		if err != nil {
			return wire.State{}, err
		}
		if l == nil {
			return stateAnswer("", nil)
		}
		return stateAnswer("The state is "+l.String()+".", l)
	case "unlock":
		l, err := p.Unlock(ctx, dir, q.Lock, q.Force)
		if err != nil {
			return wire.State{}, err
		}
		return stateAnswer("The lock "+l.ID+" of "+l.Holder()+" is broken.", l)
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

const (
	settleHelp = `Say that you have looked in the cloud for what interrupted work may have made.
Berth asks for that where the target's module cannot list what is there; until
then it makes nothing anew and calls nothing gone. First remove in the cloud what
has the environment's tag and is not in the state: afterwards Berth knows nothing
of it, and nobody else will remove it.`
	settleExample = "  berth env why qa       # what may have been made\n  berth state list qa    # what is known\n  berth state settle qa\n  berth env retry qa"
)

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
	if q.What == "migrate" {
		return h.migrate(ctx, id, q.Dry)
	}
	dir := workspaceDir(h.options.Data, id)
	if err := openWorkspace(dir, name); err != nil {
		return wire.State{}, err
	}
	return readState(ctx, h.provisioner, dir, q)
}

// migrate moves the state of an environment to where the catalog says.
func (h *house) migrate(ctx context.Context, id string, dry bool) (wire.State, error) {
	ops, err := h.store.Unended(ctx)
	if err != nil {
		return wire.State{}, err
	}
	for _, op := range ops {
		if op.EnvironmentID == id {
			return wire.State{}, orchestrator.Errorf(orchestrator.CodeState, "An operation (%s) is at work on this environment.", op.ID).
				WithHint("wait for its end, then try again")
		}
	}
	m, err := h.provisioner.Migrate(ctx, id, h.source.Current().State, dry, nil)
	if err != nil {
		return wire.State{}, err
	}
	text := m.Note
	if m.Moved {
		text = fmt.Sprintf("moved from %s to %s: %s, serial %d", m.From, m.To, count(m.Resources, "resource"), m.Serial)
	} else if m.From != m.To && m.From != "" {
		text += fmt.Sprintf(" (from %s to %s, %s)", m.From, m.To, count(m.Resources, "resource"))
	}
	return stateAnswer(text, m)
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
	if lacks := terraform.Lacks(dir, os.LookupEnv); len(lacks) > 0 && q.What != "path" {
		// Serve has them.
		s, err := berth.State(ctx, name, q)
		var e *orchestrator.Error
		if errors.As(err, &e) && e.Code == orchestrator.CodeNoBerth {
			return s, orchestrator.Errorf(orchestrator.CodeNoBerth, "The state of %s is reached by %s, which this shell does not have, and no Berth is running.", name, strings.Join(lacks, ", ")).
				WithHint("start berth serve, or set what it is started with")
		}
		return s, err
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
	c := group(&cobra.Command{Use: "state", Short: "Look into an environment's Terraform workspace, move its state, break a lock (ops)",
		Long: `Look into an environment's Terraform workspace, by the environment's name or its
ID. For ops: root and the user that runs Berth read the workspace itself, other
ops get it from the running Berth. Sensitive values are masked. Moving states and
breaking locks is done by the running Berth.`,
		Example: "  berth state list qa\n  berth state show qa module.api\n  cd \"$(berth state path qa)\" && terraform plan"})
	c.PersistentFlags().Bool("json", false, "print JSON")
	c.PersistentFlags().Bool("show-sensitive", false, "do not mask sensitive values")
	for _, one := range []struct {
		what, use, short string
		most             int
		long, example    string
	}{
		{"path", "path ENV", "Print the workspace's folder", 1, "", ""},
		{"list", "list ENV", "List the resources in the state", 1, "", ""},
		{"show", "show ENV [RESOURCE]", "Show resources with their attributes", 2, "", ""},
		{"pull", "pull ENV", "Print the whole state", 1, "", ""},
		{"plan", "plan ENV", "Show what an apply would change now", 1, "", ""},
		{"settle", "settle ENV", "Say that you have looked in the cloud for what interrupted work may have made", 1, settleHelp, settleExample},
	} {
		c.AddCommand(&cobra.Command{Use: one.use, Short: one.short, Long: one.long, Example: one.example, Args: needWords(1, one.most), ValidArgsFunction: completeEnvironment, RunE: func(cmd *cobra.Command, args []string) error {
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
	c.AddCommand(newStateUnlockCommand(), newStateMigrateCommand())
	return c
}

func newStateUnlockCommand() *cobra.Command {
	c := &cobra.Command{Use: "unlock ENV", Short: "Break a lock on the state that outlived its run", Args: needWords(1, 1), ValidArgsFunction: completeEnvironment,
		Long: `Break the lock on an environment's state that a run left behind when it was
killed. It says whose lock it is and asks. Refused while a run of Berth's holds
it, and, without --force, unless it is that of a run of Berth's which is dead.`,
		Example: "  berth state unlock qa\n  berth state unlock qa --id 7b9d3a52-1f9e-4a55-9a1e-0f4b0a0f6a51 --yes",
		RunE: func(cmd *cobra.Command, args []string) error {
			name := args[0]
			q := wire.StateQuery{What: "unlock"}
			q.Lock, _ = cmd.Flags().GetString("id")
			q.Force, _ = cmd.Flags().GetBool("force")
			yes, _ := cmd.Flags().GetBool("yes")
			asJSON, _ := cmd.Flags().GetBool("json")
			berth := connect(dataFolder(cmd))
			if !yes {
				held, err := berth.State(cmd.Context(), name, wire.StateQuery{What: "lock"})
				if err != nil {
					return err
				}
				if held.Text == "" {
					return terraform.NoLock() // nobody has said yes to one that comes now
				}
				if f, ok := cmd.InOrStdin().(*os.File); !ok || !term.IsTerminal(int(f.Fd())) || asJSON {
					return orchestrator.Errorf(orchestrator.CodeConfirm, "Breaking a lock on the state of %s wants a yes, and there is no terminal to ask at.", name).
						WithHint("berth state unlock %s --yes", name)
				}
				var l terraform.StateLock
				if err := json.Unmarshal(held.Value, &l); err != nil {
					return fmt.Errorf("reading whose lock it is: %w", err)
				}
				fmt.Fprintf(cmd.ErrOrStderr(), "%s\nIf that still works, two would write one state. Type the environment's name (%s) to break it: ", console.Clean(held.Text), name)
				line, _ := bufio.NewReader(cmd.InOrStdin()).ReadString('\n') // what ends without a line end is an answer too
				if strings.TrimSpace(line) != name {
					return orchestrator.Errorf(orchestrator.CodeConfirm, "That was not %q: the lock is as it was.", name).WithHint("to break it without a question: berth state unlock %s --yes", name)
				}
				// That one, not another that may have come since.
				q.Lock = l.ID
			}
			s, err := berth.State(cmd.Context(), name, q)
			if err != nil {
				return err
			}
			if asJSON {
				writeJSON(cmd.OutOrStdout(), s.Value)
				return nil
			}
			fmt.Fprintln(cmd.OutOrStdout(), console.Clean(s.Text))
			return nil
		}}
	c.Flags().String("id", "", "only the lock with this ID")
	c.Flags().Bool("force", false, "also one whose holder cannot be shown to be dead")
	c.Flags().BoolP("yes", "y", false, "do not ask")
	return c
}

// moved is what berth state migrate --json says of one environment.
type moved struct {
	Environment string              `json:"environment"`
	Result      json.RawMessage     `json:"result,omitempty"`
	Error       *orchestrator.Error `json:"error,omitempty"`
}

func newStateMigrateCommand() *cobra.Command {
	c := &cobra.Command{Use: "migrate [ENV…]", Short: "Move states to where the catalog says", ValidArgsFunction: completeEnvironment,
		Long: `Move the states of environments from where they are, in their workspaces or
another remote place, to where the catalog's block state says. Each copy is read
back and compared before anything is switched over. The old file is renamed, a
remote state is left where it was. Done again it finishes what was broken off.`,
		Example: "  berth state migrate --all --dry-run\n  berth state migrate qa",
		RunE: func(cmd *cobra.Command, args []string) error {
			all, _ := cmd.Flags().GetBool("all")
			dry, _ := cmd.Flags().GetBool("dry-run")
			asJSON, _ := cmd.Flags().GetBool("json")
			if all && len(args) > 0 {
				return orchestrator.Errorf(orchestrator.CodeGrammar, "--all means every environment, and %q is named besides: give either.", args[0]).
					WithHint("berth state migrate %s, or berth state migrate --all", strings.Join(args, " "))
			}
			if !all && len(args) == 0 {
				return orchestrator.Errorf(orchestrator.CodeGrammar, "Which environments? Name them, or say --all.").WithHint("berth state migrate --all --dry-run")
			}
			berth := connect(dataFolder(cmd))
			if all {
				a, err := berth.Do(cmd.Context(), "env list")
				if err != nil {
					return err
				}
				for _, e := range *a.Environments {
					args = append(args, e.Name)
				}
			}
			results, failed := []moved{}, false
			for _, name := range args {
				s, err := berth.State(cmd.Context(), name, wire.StateQuery{What: "migrate", Dry: dry})
				if cmd.Context().Err() != nil {
					return err
				}
				one := moved{Environment: name, Result: s.Value}
				if err != nil {
					failed = true
					if !errors.As(err, &one.Error) {
						one.Error = &orchestrator.Error{Code: orchestrator.CodeInternal, Message: err.Error()}
					}
					if len(args) == 1 && !asJSON {
						return err
					}
					s.Text = one.Error.Message + " " + one.Error.Hint
				}
				if !asJSON {
					fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", name, console.Clean(s.Text))
				}
				results = append(results, one)
			}
			if asJSON {
				writeJSON(cmd.OutOrStdout(), results)
			}
			if failed {
				return errSilent{1}
			}
			return nil
		}}
	c.Flags().Bool("all", false, "every environment")
	c.Flags().Bool("dry-run", false, "only look: say what would be moved")
	return c
}
