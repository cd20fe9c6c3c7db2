package app

import (
	"github.com/berth-dev/berth/orchestrator/terraform"
	"github.com/spf13/cobra"
)

// newRunCommand is the detached process that owns one Terraform run; serve
// starts it, people do not.
func newRunCommand() *cobra.Command {
	var o terraform.RunOptions
	cmd := &cobra.Command{
		Use:    "run",
		Short:  "Carry out one Terraform run (started by serve)",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE:   func(cmd *cobra.Command, _ []string) error { return terraform.Run(cmd.Context(), o) },
	}
	cmd.Flags().StringVar(&o.Dir, "dir", "", "the workspace")
	cmd.Flags().StringVar(&o.Run, "run", "", "the run's ID")
	cmd.Flags().StringVar((*string)(&o.Action), "action", "", "apply or destroy")
	for _, name := range []string{"dir", "run", "action"} {
		_ = cmd.MarkFlagRequired(name) // fails only for a flag that is not there
	}
	return cmd
}
