package app

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/berth-dev/berth/orchestrator/catalog"
	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

// newInitCommand writes a commented catalog to start from.
func newInitCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "init [FOLDER]",
		Short: "Write a commented catalog, settings and a folder for recipes",
		Long: `Write a commented catalog (berth.hcl), the settings of its two apps and a folder
for Salt recipes into FOLDER, by default this one. Nothing is overwritten.`,
		Example: "  berth init\n  berth init ops/berth",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := "."
			if len(args) == 1 {
				dir = args[0]
			}
			files, err := catalog.WriteStarter(dir)
			if err != nil {
				return err
			}
			if asked, _ := cmd.Flags().GetBool("json"); asked {
				writeJSON(cmd.OutOrStdout(), map[string]any{"files": files})
				return nil
			}
			out := cmd.OutOrStdout()
			for _, f := range files {
				fmt.Fprintln(out, "wrote", f)
			}
			path := shellWord(filepath.Join(dir, "berth.hcl"))
			fmt.Fprintf(out, "\nNext: put your repositories into %s, then\n  berth validate --catalog %s\n  berth serve --catalog %s\nand in another terminal\n  berth env create first\n", path, path, path)
			return nil
		},
	}
	c.Flags().Bool("json", false, "print JSON")
	return c
}

// shellWord quotes a path for a command line that is to be copied.
func shellWord(path string) string {
	if plainPath.MatchString(path) {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}

var plainPath = lazyregexp.New(`^[A-Za-z0-9._/@+][A-Za-z0-9._/@+-]*$`)
