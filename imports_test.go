package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/berth-dev/berth"

// mayImport names, for each package of this module, the others of it that it
// may use besides package orchestrator itself. A prefix that ends in /...
// stands for all below it. Bot/app wires everything and is not limited.
var mayImport = map[string][]string{
	"":                             {"bot/app"},
	"orchestrator":                 {},
	"orchestrator/lazyregexp":      {},
	"orchestrator/agent":           {"orchestrator/dotenv", "orchestrator/salt", "templates"},
	"orchestrator/catalog":         {"orchestrator/dotenv", "templates"},
	"orchestrator/diagnose":        {"orchestrator/salt"},
	"orchestrator/render":          {"modules", "templates"},
	"orchestrator/store/storetest": {"orchestrator/store"}, // the conformance suite of stores
	"bot/client":                   {"bot", "bot/wire", "orchestrator/logbook"},
	"bot/console":                  {"bot", "bot/view", "bot/wire", "orchestrator/logbook"},
	"bot/httpapi":                  {"bot", "bot/wire", "orchestrator/logbook", "orchestrator/agent"},
	"bot/wire":                     {"orchestrator/logbook"},
	"bot/view":                     {"bot"},
	"bot/slack":                    {"bot", "bot/view", "bot/slack/..."},
	"bot/slack/blocks":             {"bot/view"},
	"bot/slack/slackfake":          {},
	"bot/web":                      {"bot", "bot/view", "bot/wire"},
}

// onlyIn names, for a library, the one package that may use it.
var onlyIn = map[string]string{
	"github.com/slack-go/slack":               "bot/slack",
	"github.com/hashicorp/hcl/v2/hclwrite":    "orchestrator/render",
	"github.com/hashicorp/terraform-exec":     "orchestrator/terraform",
	"github.com/hashicorp/hc-install":         "orchestrator/terraform",
	"github.com/google/go-github":             "orchestrator/branch",
	"github.com/riverqueue/river/riverdriver": "orchestrator/jobs",
	"modernc.org/sqlite":                      "orchestrator/store",
}

// neverIn names, for a package, libraries that its code must not use though
// its tests may: a stand-in that uses the client would agree with its errors.
var neverIn = map[string][]string{
	"bot/slack/slackfake": {"github.com/slack-go/slack"},
}

type listed struct {
	ImportPath, Name, Doc string
	Imports               []string
}

// name is the package's path within the module.
func (p listed) name() string {
	return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
}

// packages are all packages of the module.
func packages(t *testing.T) []listed {
	t.Helper()
	var errs bytes.Buffer
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Name,Doc,Imports", "./...")
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, errs.String())
	}
	var all []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < 10 {
		t.Fatalf("go list knows only %d packages", len(all))
	}
	return all
}

// TestImportDirection holds what docs/architecture.md promises: the domain
// uses the standard library alone, adapters do not know one another or the
// bot, and each outside library has one user.
func TestImportDirection(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		for _, imported := range p.Imports {
			if imported == module || strings.HasPrefix(imported, module+"/") {
				if !allowed(p.name(), strings.TrimPrefix(imported, module+"/")) {
					t.Errorf("%s imports %s", p.ImportPath, imported)
				}
				continue
			}
			if p.name() == "orchestrator" && !standard(imported) {
				t.Errorf("orchestrator imports %s: the domain uses the standard library alone", imported)
			}
			for root, libraries := range neverIn {
				if below(p.name(), root) && slices.ContainsFunc(libraries, func(l string) bool { return below(imported, l) }) {
					t.Errorf("%s imports %s, which only its tests may", p.ImportPath, imported)
				}
			}
			for library, owner := range onlyIn {
				if below(imported, library) && !below(p.name(), owner) {
					t.Errorf("%s imports %s: that is for %s alone", p.ImportPath, imported, owner)
				}
			}
		}
	}
}

func allowed(from, to string) bool {
	if from == "bot/app" {
		return true
	}
	// Everything may speak the domain's words; it is above none of them. Only
	// the stand-in for Slack has no part in them.
	if to == "orchestrator" && from != "orchestrator/lazyregexp" && from != "orchestrator" && !below(from, "bot/slack/slackfake") {
		return true
	}
	// It knows nothing of Berth.
	if to == "orchestrator/lazyregexp" {
		return true
	}
	return slices.ContainsFunc(mayImport[from], func(may string) bool {
		all, tree := strings.CutSuffix(may, "/...")
		return to == may || tree && below(to, all)
	})
}

// below reports whether path is root or something under it.
func below(p, root string) bool { return p == root || strings.HasPrefix(p, root+"/") }

func standard(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return !strings.Contains(first, ".")
}

// TestPackages: each package says what it is for, and has a name that does.
func TestPackages(t *testing.T) {
	t.Parallel()
	var vague = []string{"util", "utils", "common", "helper", "helpers", "misc", "shared"}
	for _, p := range packages(t) {
		if p.Doc == "" {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
		if slices.Contains(vague, path.Base(p.ImportPath)) || slices.Contains(vague, p.Name) {
			t.Errorf("%s is named after nothing", p.ImportPath)
		}
	}
}

// Tests in folders that ./... does not reach (testdata, .ci) run only when the
// Makefile names the folder.
func TestEverythingIsTested(t *testing.T) {
	t.Parallel()
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	named := strings.Fields(string(makefile))
	for _, root := range []string{".ci", "testdata"} {
		err := filepath.WalkDir(root, func(name string, e fs.DirEntry, err error) error {
			if err == nil && strings.HasSuffix(name, "_test.go") && !slices.Contains(named, "./"+filepath.ToSlash(filepath.Dir(name))) {
				t.Errorf("the Makefile does not name ./%s, which has tests", filepath.Dir(name))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
