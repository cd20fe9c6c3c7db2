package catalog_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/berth-dev/berth/orchestrator/catalog"
	"github.com/berth-dev/berth/testdata/gitssh"
)

// TestCredentials reads ops' ways to private code, and what is wrong with them.
func TestCredentials(t *testing.T) {
	t.Parallel()
	key, public := gitssh.NewKey(t)
	hosts := "git.example.com " + string(ssh.MarshalAuthorizedKey(public))
	load := func(t *testing.T, modes map[string]os.FileMode, text string) (string, error) {
		t.Helper()
		path := write(t, map[string]string{"berth.hcl": local + text, "token": "glpat-Hasel-Nuss7\n", "key": key, "public": string(ssh.MarshalAuthorizedKey(public)),
			"hosts": "# ours\n" + hosts, "empty": "\n", "two": "a b\n", "odd": "git.example.com nothing\n"})
		for _, name := range []string{"token", "key", "public", "empty", "two"} {
			mode := os.FileMode(0o600)
			if m, ok := modes[name]; ok {
				mode = m
			}
			if err := os.Chmod(filepath.Join(filepath.Dir(path), name), mode); err != nil {
				t.Fatal(err)
			}
		}
		c, err := catalog.Load(path)
		if err != nil {
			return "", err
		}
		var out strings.Builder
		for _, a := range c.Apps {
			fmt.Fprintf(&out, "%s %v", a.Name, a.Submodules)
			if own := a.Credential; own != nil {
				fmt.Fprintf(&out, " %s user=%s token=%t key=%t hosts=%t github=%t", own.Name, own.Username, filepath.IsAbs(own.Token), filepath.IsAbs(own.Key), filepath.IsAbs(own.KnownHosts), own.GitHubToken)
			}
			out.WriteString("\n")
		}
		return out.String(), nil
	}
	got, err := load(t, map[string]os.FileMode{"token": 0o640}, `
app "a" {
  repository = "https://git.example.com/acme/a"
  credential = "token"
  submodules = ["https://git.example.com/acme/glass.git"]
}
app "b" {
  repository = "git@git.example.com:acme/b"
  credential = "key"
  submodules = ["git@git.example.com:acme/glass"]
}
app "c" {
  repository = "https://github.com/acme/c"
  credential = "github"
}
app "d" { repository = "https://github.com/acme/d" }
credential "token" {
  username   = "deploy"
  token_file = "token"
}
credential "key" {
  key_file    = "key"
  known_hosts = "hosts"
}
credential "github" { github_token = true }
`)
	want := `a [https://git.example.com/acme/glass.git] token user=deploy token=true key=false hosts=false github=false
b [git@git.example.com:acme/glass] key user= token=false key=true hosts=true github=false
c [] github user= token=false key=false hosts=false github=true
d []
`
	if err != nil || got != want {
		t.Errorf("got %v\n%swant\n%s", err, got, want)
	}

	const web, short = `app "a" {
  repository = "https://git.example.com/acme/a"
  credential = "x"
}
`, `app "a" {
  repository = "git@git.example.com:acme/a"
  credential = "x"
}
`
	for name, c := range map[string]struct {
		text  string
		modes map[string]os.FileMode
		says  string
	}{
		"a token in the text":    {text: `credential "x" { token = "glpat-Hasel-Nuss7" }`, says: "secrets never stand in the catalog"},
		"none of the ways":       {text: `credential "x" { username = "a" }`, says: "needs one of token_file, key_file and github_token"},
		"two of the ways":        {text: "credential \"x\" {\n token_file = \"token\"\n github_token = true\n}", says: "needs one of token_file, key_file and github_token"},
		"open to others":         {text: `credential "x" { token_file = "token" }`, modes: map[string]os.FileMode{"token": 0o644}, says: "(mode 0644): chmod 600"},
		"not there":              {text: `credential "x" { token_file = "nothing" }`, says: "nothing is missing"},
		"empty":                  {text: `credential "x" { token_file = "empty" }`, says: "is empty"},
		"more than a token":      {text: `credential "x" { token_file = "two" }`, says: "more than one word"},
		"a folder":               {text: `credential "x" { token_file = "." }`, says: "is no file"},
		"no known hosts":         {text: `credential "x" { key_file = "key" }`, says: "has a key_file but no known_hosts"},
		"hosts that are none":    {text: "credential \"x\" {\n key_file = \"key\"\n known_hosts = \"odd\"\n}", says: "a line that is none of known_hosts"},
		"no hosts at all":        {text: "credential \"x\" {\n key_file = \"key\"\n known_hosts = \"empty\"\n}", says: "knows no host"},
		"the public half":        {text: "credential \"x\" {\n key_file = \"public\"\n known_hosts = \"hosts\"\n}", says: "the public half of a key"},
		"no key":                 {text: "credential \"x\" {\n key_file = \"token\"\n known_hosts = \"hosts\"\n}", says: "holds no private key"},
		"an unknown credential":  {text: web + `credential "y" { token_file = "token" }`, says: `there is no block credential "x"`},
		"a key for the web":      {text: web + "credential \"x\" {\n key_file = \"key\"\n known_hosts = \"hosts\"\n}", says: `"x" is a key for ssh`},
		"a token for ssh":        {text: short + `credential "x" { token_file = "token" }`, says: `"x" is a token`},
		"a token over http":      {text: strings.Replace(web, "https", "http", 1) + `credential "x" { token_file = "token" }`, says: "over which everybody on the way"},
		"a submodule elsewhere":  {text: "app \"a\" {\n repository = \"https://git.example.com/acme/a\"\n submodules = [\"https://git.evil.example/acme/b\"]\n}", says: "not of the same owner at the same host"},
		"a submodule of another": {text: "app \"a\" {\n repository = \"https://git.example.com/acme/a\"\n submodules = [\"https://git.example.com/other/b\"]\n}", says: "begins with https://git.example.com/acme/"},
		"a submodule upstairs":   {text: "app \"a\" {\n repository = \"https://git.example.com/acme/a\"\n submodules = [\"https://git.example.com/acme/../other/b\"]\n}", says: "not of the same owner"},
		"a submodule of a path":  {text: "app \"a\" {\n repository = \"./a\"\n submodules = [\"./b\"]\n}", says: "that of app \"a\" is at none"},
		"a path that ssh reads":  {text: `credential "x" { token_file = "a%h" }`, says: "a character that ssh reads in its own way"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := load(t, c.modes, c.text)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %q", err, c.says)
			}
			if err != nil && strings.Contains(err.Error(), "Hasel") {
				t.Errorf("the error shows a secret: %v", err)
			}
		})
	}
}

// What is wrong with a block is told once, not again at what it lacks then or
// at the app that names it.
func TestCredentialOnce(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`token = "hunter2"`:                         `credential "host": secrets never stand in the catalog.`,
		`tokenfile = "token"`:                       `credential "host" has no attribute "tokenfile". Did you mean "token_file"?`,
		"tokenfile = \"token\"\n username = \"me\"": `Did you mean "token_file"?`,
		`token_file = 3`:                            `token_file must be text`,
		`hots = "x"`:                                `credential "host" has no attribute "hots". Expected "username", "token_file", "key_file", "known_hosts" or "github_token".`,
		`github_token = false`:                      `credential "host" needs one of token_file, key_file and github_token.`,
	} {
		_, err := catalog.Load(write(t, map[string]string{"berth.hcl": local + "credential \"host\" {\n " + text + "\n}\napp \"api\" {\n repository = \"https://x.dev/a\"\n credential = \"host\"\n}\n"}))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Count(err.Error(), "berth.hcl:") != 1 {
			t.Errorf("%s: %v, want only %q", text, err, want)
		}
	}
}
