package app

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/berth-dev/berth/modules"
	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/agent"
	"github.com/berth-dev/berth/orchestrator/catalog"
	"github.com/berth-dev/berth/templates"
)

// validation is what berth validate --json prints of a good catalog.
type validation struct {
	OK         bool     `json:"ok"`
	Catalog    string   `json:"catalog"`
	Targets    int      `json:"targets"`
	Apps       int      `json:"apps"`
	Blueprints int      `json:"blueprints"`
	Sizes      int      `json:"sizes"`
	People     int      `json:"people"`
	Warnings   []string `json:"warnings"`
}

// newValidateCommand checks a catalog and all that it names.
func newValidateCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "validate",
		Short: "Check the catalog and every setting, module and recipe that it names",
		Long: `Check the catalog: its form and its names, the settings files, the modules, and
that each recipe exists, keeps the rules for recipes and compiles: Salt is run
with what each app's servers would get, and with branches and settings that a
careless recipe would take for a part of itself. A test run finds missing files
and templates that cannot be rendered. Nothing is applied. Everything that is
wrong is told at once, with its place. Warnings do not make it fail.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			file, _ := cmd.Flags().GetString("catalog")
			if e := os.Getenv("BERTH_CATALOG"); e != "" && !cmd.Flags().Changed("catalog") {
				file = e
			}
			v, err := validate(cmd.Context(), file)
			if err != nil {
				// A warning may explain the error: it is told all the same.
				printWarnings(cmd.ErrOrStderr(), v.Warnings)
				return err
			}
			if asked, _ := cmd.Flags().GetBool("json"); asked {
				writeJSON(cmd.OutOrStdout(), v)
				return nil
			}
			printWarnings(cmd.ErrOrStderr(), v.Warnings)
			fmt.Fprintf(cmd.OutOrStdout(), "%s is good: %s, %s, %s, %s.\n", v.Catalog,
				count(v.Targets, "target"), count(v.Apps, "app"), count(v.Blueprints, "blueprint"), count(v.Sizes, "size"))
			return nil
		},
	}
	c.Flags().String("catalog", "berth.hcl", "the catalog (BERTH_CATALOG)")
	c.Flags().Bool("json", false, "print JSON")
	return c
}

func printWarnings(w io.Writer, warnings []string) {
	for _, text := range warnings {
		fmt.Fprintln(w, "warning:", text)
	}
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func validate(ctx context.Context, file string) (validation, error) {
	known, err := whatBerthBrings()
	if err != nil {
		return validation{}, err
	}
	c, warnings, err := catalog.Verify(ctx, file, known)
	v := validation{Catalog: file, Warnings: append([]string{}, warnings...)}
	if err != nil {
		return v, err
	}
	// The recipes must also be fit to be sent to servers.
	if _, _, err := templates.States(c.Salt.States); err != nil {
		return v, err
	}
	v.OK, v.Targets, v.Apps, v.Blueprints, v.Sizes, v.People = true, len(c.Targets), len(c.Apps), len(c.Blueprints), len(c.Sizes), len(c.People)
	return v, nil
}

// compiles says what is wrong with the recipes of a catalog, if anything is.
func compiles(ctx context.Context, c *orchestrator.Catalog) error {
	known, err := whatBerthBrings()
	if err != nil {
		return err
	}
	return catalog.Recipes(ctx, c, known)
}

// whatBerthBrings lists the modules within this program, and finds Salt.
func whatBerthBrings() (catalog.Known, error) {
	var known catalog.Known
	entries, err := fs.ReadDir(modules.FS(), ".")
	if err != nil {
		return known, fmt.Errorf("listing Berth's modules: %w", err)
	}
	for _, e := range entries {
		known.Modules = append(known.Modules, e.Name())
	}
	known.ModuleFiles = modules.FS()
	known.SaltCall, _ = agent.FindSaltCall(os.Getenv("BERTH_SALT_CALL"))
	return known, nil
}
