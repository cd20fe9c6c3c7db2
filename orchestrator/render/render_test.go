package render_test

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/render"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"
)

var nasty = []string{
	"plain", "", "${file(\"/etc/passwd\")}", "%{ if true }x%{ endif }", "$${x}", "a\"b\\c", "line\nbreak\r\n",
	"{{salt.cmd.run('id')}}", "$(id)`id`", "snowman ☃ \U0001F600", "\u2028\u2029", "<!--&>", "\x01\x1f\x7f",
	"\"\n}\nresource \"null\" \"x\" {}\n", "EOT\n<<EOT\n", "é", "//comment", "#", "*/",
	// Signs that join with the quotes around them.
	"\u0600", "\u0600x", "\u0301x", "\u200d", "\U0001F1E9", "\U000110BD", "x\u0600",
}

func workspace(app, text string) orchestrator.Workspace {
	return orchestrator.Workspace{
		EnvironmentID: text,
		Target: orchestrator.Target{Name: "local", Module: "local", Variables: map[string]any{
			"root": text,
		}},
		Servers: []orchestrator.WorkspaceServer{
			{ID: text, App: app, UserData: text, Port: 41233, UID: 70001, NeededBy: []string{"web", text}, Variables: map[string]any{
				"text": text, "list": []any{text, 1, true, nil, 1.5}, "object": map[string]any{"k": text}, "big": int64(math.MaxInt64),
			}},
		},
		Tags: map[string]string{"owner": text, text: "key"},
	}
}

type tfvars struct {
	EnvironmentID string            `json:"environment_id"`
	UserData      map[string]string `json:"user_data"`
	Tags          map[string]string `json:"tags"`
	Target        map[string]any    `json:"target"`
	Servers       map[string]struct {
		ID        string
		Port, UID int
		Variables map[string]any
		NeededBy  []string `json:"needed_by"`
	} `json:"servers"`
}

// check renders and makes sure that the values come back and the code is the
// same as for a plain value.
func check(t interface {
	Fatalf(string, ...any)
	Helper()
}, dir, app, text string) {
	t.Helper()
	w := workspace(app, text)
	if err := render.Write(dir, w, render.Options{}); err != nil {
		if utf8.ValidString(text) && !strings.ContainsRune(text, 0) && norm.NFC.IsNormalString(text) && norm.NFC.IsNormalString(app) && utf8.ValidString(app) {
			t.Fatalf("%q: %v", text, err)
		}
		return // refused: not text that Terraform keeps as it is
	}
	code, err := os.ReadFile(filepath.Join(dir, render.ConfigFile))
	if err != nil {
		t.Fatalf("%v", err)
	}
	f, diags := hclsyntax.ParseConfig(code, "main.tf", hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatalf("%v", diags)
	}
	if n := len(f.Body.(*hclsyntax.Body).Blocks); n != 8 {
		t.Fatalf("%d blocks", n)
	}
	for _, s := range []string{"${", "%{", "passwd", "resource"} {
		if strings.Contains(string(code), s) {
			t.Fatalf("%q in the code:\n%s", s, code)
		}
	}
	data, err := os.ReadFile(filepath.Join(dir, render.ValuesFile))
	if err != nil {
		t.Fatalf("%v", err)
	}
	var got tfvars
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatalf("%v", err)
	}
	if got.UserData[app] != text || got.Servers[app].ID != text || got.Tags["owner"] != text && text != "owner" ||
		got.Servers[app].Variables["text"] != text || len(got.Servers[app].NeededBy) != 2 || got.Servers[app].NeededBy[1] != text || got.Target["root"] != text || got.EnvironmentID != text {
		t.Fatalf("%q came back as %+v", text, got)
	}
}

func TestValuesStayValues(t *testing.T) {
	t.Parallel()
	for _, text := range nasty {
		check(t, t.TempDir(), "api", text)
		if text != "" {
			check(t, t.TempDir(), text, text)
		}
	}
}

func TestValuesStayValuesProperty(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rapid.Check(t, func(r *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.SampledFrom(nasty),
			rapid.StringMatching(`(\$\{|%\{|"|\\|\n|\{\{|a|\}){0,12}`)).Draw(r, "text")
		check(r, dir, rapid.SampledFrom([]string{"api", "web", text}).Draw(r, "app"), text)
	})
}

func FuzzWrite(f *testing.F) {
	for _, text := range nasty {
		f.Add("api", text)
	}
	f.Add("\xff", "\xff\xfe")
	f.Fuzz(func(t *testing.T, app, text string) { check(t, t.TempDir(), app, text) })
}

func FuzzConfig(f *testing.F) {
	for _, text := range nasty {
		f.Add(text, text)
	}
	f.Fuzz(func(t *testing.T, source, name string) {
		state := orchestrator.Backend{Type: name, Attributes: map[string]any{name: source, "nested": map[string]any{source: name}}}
		out, err := render.Config(render.Source{Address: source, Version: name}, ">= 1.5.7", []string{name}, state, "e1")
		if err != nil {
			return
		}
		if _, diags := hclsyntax.ParseConfig(out, "main.tf", hcl.InitialPos); diags.HasErrors() {
			t.Fatal(diags)
		}
	})
}

func TestFilesArePrivateAndStable(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a", "w")
	for range 2 {
		if err := render.Write(dir, workspace("api", "x"), render.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	count := 0
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		want := os.FileMode(0o600)
		if d.IsDir() {
			want = 0o700
		} else {
			count++
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if count != 6 {
		t.Errorf("%d files, want 6", count)
	}
}

func TestOwnModule(t *testing.T) {
	t.Parallel()
	catalog := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(catalog, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("mine/main.tf", "# one\n")
	write("mine/sub/x.tf", "")
	write("mine/terraform.tfstate", "{}")
	write("mine/.terraform.lock.hcl", "# lock\n")
	write("beside/.terraform.lock.hcl", "# beside\n")
	write("beside/main.tf", "module \"x\" {\n  source = \"../mine\"\n}\n")
	write("broken/main.tf", "module {")

	dir := t.TempDir()
	render1 := func(module string) error {
		w := workspace("api", "x")
		w.Target.Module = module
		return render.Write(dir, w, render.Options{CatalogDir: catalog})
	}
	copies := func() []string { c, _ := filepath.Glob(filepath.Join(dir, "module-*", "*")); return c }
	if err := render1("./mine"); err != nil {
		t.Fatal(err)
	}
	first := copies()
	if len(first) != 3 { // main.tf, sub and the lock file; not the state
		t.Errorf("copied %v", first)
	}
	if _, err := os.Stat(filepath.Join(dir, ".terraform.lock.hcl")); err != nil {
		t.Error(err)
	}
	// What init has added to the lock file stays, until the module brings another.
	lock := filepath.Join(dir, ".terraform.lock.hcl")
	holds := func(want string) {
		t.Helper()
		if got, err := os.ReadFile(lock); err != nil || string(got) != want {
			t.Errorf("the lock file: %v, %q, want %q", err, got, want)
		}
	}
	if err := os.WriteFile(lock, []byte("# lock, and more\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := render1("./mine"); err != nil {
		t.Fatal(err)
	}
	holds("# lock, and more\n")
	write("mine/main.tf", "# other code, the same lock\n")
	if err := render1("./mine"); err != nil {
		t.Fatal(err)
	}
	holds("# lock, and more\n")
	write("mine/.terraform.lock.hcl", "# newer\n")
	if err := render1("./mine"); err != nil {
		t.Fatal(err)
	}
	holds("# newer\n")
	write("mine/main.tf", "# two\n")
	if err := render1("./mine"); err != nil {
		t.Fatal(err)
	}
	if second := copies(); len(second) != 3 || second[0] == first[0] {
		t.Errorf("copied %v after %v", second, first)
	}
	if err := render1("./beside"); err != nil {
		t.Fatal(err)
	}
	holds("# beside\n")
	code, _ := os.ReadFile(filepath.Join(dir, "main.tf"))
	if len(copies()) != 0 || !strings.Contains(string(code), filepath.Join(catalog, "beside")) {
		t.Errorf("a module that needs its neighbours was copied:\n%s", code)
	}
	// So does one that reaches its neighbours by a module within it, in Terraform's
	// other syntax, or by a link; what stays within is copied.
	write("deep/main.tf", "module \"x\" {\n  source = \"./sub\"\n}\n")
	write("deep/sub/main.tf", "module \"x\" {\n  source = \"../../mine\"\n}\n")
	write("json/main.tf.json", `{"module": {"x": {"source": "./sub/../../mine"}}}`)
	write("linked/main.tf", "# linked\n")
	write("folder/main.tf", "# linked\n")
	write("folder/real/x.tf", "")
	write("within/main.tf", "module \"x\" {\n  source = \"./sub\"\n}\n")
	write("within/sub/main.tf", "module \"x\" {\n  source = \"../other\"\n}\n")
	write("within/other/main.tf", "module \"x\" {\n  source = \"../sub\"\n}\n")
	write("within/other/x.tf", "")
	for link, to := range map[string]string{"linked/more.tf": "../mine/main.tf", "folder/link": "real", "within/more.tf": "other/x.tf", "within/.#main.tf": "me@here.1"} {
		if err := os.Symlink(to, filepath.Join(catalog, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, module := range []string{"deep", "json", "linked", "folder"} {
		if err := render1("./" + module); err != nil {
			t.Errorf("%s: %v", module, err)
			continue
		}
		code, _ := os.ReadFile(filepath.Join(dir, "main.tf"))
		if len(copies()) != 0 || !strings.Contains(string(code), filepath.Join(catalog, module)) {
			t.Errorf("%s was copied without what it needs:\n%s", module, code)
		}
	}
	if err := render1("./within"); err != nil {
		t.Error(err)
	}
	if got := copies(); !slices.ContainsFunc(got, func(name string) bool { return filepath.Base(name) == "more.tf" }) || len(got) != 4 { // main.tf, more.tf, other, sub
		t.Errorf("copied %v", got)
	}
	w := workspace("api", "x")
	w.Target.Module, w.Target.Version = "registry.example.com/acme/servers/aws", "1.2.3"
	if err := render.Write(dir, w, render.Options{CatalogDir: catalog}); err != nil {
		t.Fatal(err)
	}
	if code, err := os.ReadFile(filepath.Join(dir, "main.tf")); err != nil || !strings.Contains(string(code), `= "1.2.3"`) {
		t.Errorf("a registry's module lost its version: %v\n%s", err, code)
	}
	for module, want := range map[string]string{"./broken": "error", "./nowhere": "no Terraform files", "lokal": "not built in", "": "no module"} {
		err := render1(module)
		var e *orchestrator.Error
		if !errors.As(err, &e) || e.Code != orchestrator.CodeInvalidCatalog || e.Hint == "" {
			t.Errorf("%q: %v", module, err)
			continue
		}
		if !strings.Contains(e.Message, want) {
			t.Errorf("%q: %s", module, e.Message)
		}
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*orchestrator.Workspace){
		"reserved variable": func(w *orchestrator.Workspace) { w.Target.Variables["source"] = "x" },
		"odd variable":      func(w *orchestrator.Workspace) { w.Target.Variables["a b"] = "x" },
		"template variable": func(w *orchestrator.Workspace) { w.Target.Variables["${x}"] = "x" },
		"infinite":          func(w *orchestrator.Workspace) { w.Target.Variables["x"] = math.Inf(1) },
		"no text":           func(w *orchestrator.Workspace) { w.Tags["x"] = "\xff" },
		"channel":           func(w *orchestrator.Workspace) { w.Target.Variables["x"] = make(chan int) },
		"two servers":       func(w *orchestrator.Workspace) { w.Servers = append(w.Servers, w.Servers[0]) },
		"NUL":               func(w *orchestrator.Workspace) { w.Servers[0].UserData = "a\x00b" },
		"long":              func(w *orchestrator.Workspace) { w.Servers[0].UserData = strings.Repeat("x", 1<<18) },
		"other form":        func(w *orchestrator.Workspace) { w.Servers[0].UserData = "e\u0301" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "w")
			w := workspace("api", "x")
			change(&w)
			err := render.Write(dir, w, render.Options{})
			var e *orchestrator.Error
			if !errors.As(err, &e) || e.Hint == "" {
				t.Fatalf("got %v", err)
			}
			if _, err := os.Stat(dir); err == nil {
				t.Error("a refused workspace left a folder")
			}
		})
	}
}
