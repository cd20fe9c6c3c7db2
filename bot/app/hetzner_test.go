package app

import (
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/berth-dev/berth/testdata/hcloudfake"
)

// TestHetznerScript runs the story of sets at Hetzner: the real program,
// Terraform and provider, and a stand-in for the project.
func TestHetznerScript(t *testing.T) {
	t.Parallel()
	project := hcloudfake.Start(t)
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("..", "..", "testdata", "scripts", "hetzner"),
		Setup: func(env *testscript.Env) error {
			for _, v := range project.Environ() {
				name, value, _ := strings.Cut(v, "=")
				env.Setenv(name, value)
			}
			return setupScript(env)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"serve": cmdServe, "halt": cmdHalt, "settled": cmdSettled, "status": cmdStatus, "until": cmdUntil,
			// machines N waits until the project has as many that run, and no other.
			"machines": func(ts *testscript.TestScript, _ bool, args []string) {
				want, err := strconv.Atoi(args[0])
				ts.Check(err)
				changed, stop := project.Watch()
				defer stop()
				over := time.After(3 * time.Minute) // for a machine under load
				for {
					all, running := project.Machines(), 0
					for _, m := range all {
						if m.Running {
							running++
						}
					}
					if running == want && len(all) == want {
						return
					}
					select {
					case <-changed:
					case <-over:
						ts.Fatalf("want %d machines, there are %+v", want, all)
					}
				}
			},
			// stop stops one of the project's machines, as somebody does in its
			// console.
			"stop": func(ts *testscript.TestScript, _ bool, _ []string) {
				project.Power(project.Machines()[0].ID, false)
			},
			// nothing: the project is empty.
			"nothing": func(ts *testscript.TestScript, _ bool, _ []string) {
				if left := project.Left(); len(left) > 0 {
					ts.Fatalf("left: %q", left)
				}
			},
			"limit": func(ts *testscript.TestScript, _ bool, args []string) {
				n, err := strconv.Atoi(args[1])
				ts.Check(err)
				project.SetLimit(args[0], n)
			},
		},
		RequireExplicitExec: true,
	})
}
