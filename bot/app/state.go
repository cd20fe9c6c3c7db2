package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"github.com/spf13/cobra"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/terraform"
)

// environmentID is what an immutable ID looks like; see newID.
var environmentID = regexp.MustCompile(`^e[a-z2-7]{12}$`)

// workspaceOf finds the workspace of an environment, by name or by ID, and
// says plainly when the caller may not look into it: a workspace belongs to
// the user that runs Berth, and whoever is that user or root is ops.
func workspaceOf(ctx context.Context, data, name string) (string, error) {
	id := name
	if !environmentID.MatchString(name) {
		a, err := connect(data).Do(ctx, "env show "+name)
		if err != nil {
			return "", err
		}
		id = a.Environment.ID
	}
	dir := workspaceDir(data, id)
	_, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", orchestrator.Errorf(orchestrator.CodeNotFound, "%s has no workspace in %s: nothing has been made yet, or Berth runs on another machine.", name, data).
			WithHint("name Berth's data folder with --data, or look at what there is: berth env show %s", name)
	case errors.Is(err, fs.ErrPermission):
		return "", orchestrator.Errorf(orchestrator.CodeNotAllowed, "Only ops may look into the workspace of %s.", name).
			WithHint("run this as root or as the user that runs berth serve")
	case err != nil:
		return "", fmt.Errorf("reading the workspace of %s: %w", name, err)
	}
	return dir, nil
}

func newStateCommand() *cobra.Command {
	c := group(&cobra.Command{Use: "state", Short: "Look into an environment's Terraform workspace (ops)",
		Example: "  berth state list qa\n  berth state show qa module.api\n  cd \"$(berth state path qa)\" && terraform plan"})
	c.PersistentFlags().Bool("json", false, "print JSON")
	c.PersistentFlags().Bool("show-sensitive", false, "do not mask sensitive values")
	add := func(use, short string, args cobra.PositionalArgs, run func(cmd *cobra.Command, p *terraform.Provisioner, dir string, args []string) error) {
		c.AddCommand(&cobra.Command{Use: use, Short: short, Args: args, ValidArgsFunction: completeEnvironment, RunE: func(cmd *cobra.Command, args []string) error {
			data := dataFolder(cmd)
			dir, err := workspaceOf(cmd.Context(), data, args[0])
			if err != nil {
				return err
			}
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("finding Berth's own program: %w", err)
			}
			p := terraform.New(terraform.Options{Workspaces: filepath.Dir(dir), Data: data, Berth: self,
				Find: terraform.FindOptions{Path: os.Getenv("BERTH_TERRAFORM"), Data: data}})
			return run(cmd, p, dir, args)
		}})
	}
	flag := func(cmd *cobra.Command, name string) bool { v, _ := cmd.Flags().GetBool(name); return v }
	add("path ENV", "Print the workspace's folder", needWords(1, 1), func(cmd *cobra.Command, _ *terraform.Provisioner, dir string, _ []string) error {
		if flag(cmd, "json") {
			writeJSON(cmd.OutOrStdout(), map[string]string{"path": dir})
			return nil
		}
		fmt.Fprintln(cmd.OutOrStdout(), dir)
		return nil
	})
	add("list ENV", "List the resources in the state", needWords(1, 1), func(cmd *cobra.Command, p *terraform.Provisioner, dir string, _ []string) error {
		all, err := p.List(cmd.Context(), dir)
		if err != nil {
			return err
		}
		if flag(cmd, "json") {
			writeJSON(cmd.OutOrStdout(), all)
			return nil
		}
		for _, r := range all {
			tainted := ""
			if r.Tainted {
				tainted = "  (tainted)"
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s  %s%s\n", r.Address, r.ID, tainted)
		}
		return nil
	})
	add("show ENV [RESOURCE]", "Show resources with their attributes", needWords(1, 2), func(cmd *cobra.Command, p *terraform.Provisioner, dir string, args []string) error {
		address := ""
		if len(args) == 2 {
			address = args[1]
		}
		out, err := p.Show(cmd.Context(), dir, address, flag(cmd, "show-sensitive"))
		if err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s\n", out)
		return nil
	})
	add("pull ENV", "Print the whole state", needWords(1, 1), func(cmd *cobra.Command, p *terraform.Provisioner, dir string, _ []string) error {
		out, err := p.Pull(cmd.Context(), dir, flag(cmd, "show-sensitive"))
		if err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s\n", out)
		return nil
	})
	add("plan ENV", "Show what an apply would change now", needWords(1, 1), func(cmd *cobra.Command, p *terraform.Provisioner, dir string, _ []string) error {
		plan, err := p.Plan(cmd.Context(), dir, flag(cmd, "show-sensitive"))
		if err != nil {
			return err
		}
		if flag(cmd, "json") {
			writeJSON(cmd.OutOrStdout(), plan)
			return nil
		}
		fmt.Fprintln(cmd.OutOrStdout(), plan.Text)
		return nil
	})
	return c
}
