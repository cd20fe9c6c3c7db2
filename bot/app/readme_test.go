package app

import (
	"encoding/json"
	"html"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/berth-dev/berth/orchestrator"
)

// changing is what differs from run to run in what Berth says.
var changing = []struct {
	form *regexp.Regexp
	as   string
}{
	{regexp.MustCompile(`127\.0\.0\.1:[0-9]+`), "127.0.0.1:PORT"},
	{regexp.MustCompile(`(?m)^ +[0-9.]+s  `), "  TIME  "},
	{regexp.MustCompile(`(?m) +$`), ""},
}

func alike(text string) string {
	for _, c := range changing {
		text = c.form.ReplaceAllString(text, c.as)
	}
	return strings.TrimSpace(text)
}

var tags = regexp.MustCompile(`<title>.*</title>|<[^>]*>`)

// cmdSession types the commands of the README's first session at a terminal
// and expects what the README shows: session FILE.
func cmdSession(ts *testscript.TestScript, _ bool, args []string) {
	text, err := os.ReadFile(filepath.Join(repoRoot(), args[0]))
	ts.Check(err)
	_, rest, ok := strings.Cut(string(text), "```\n$ ")
	block, _, closed := strings.Cut(rest, "```")
	if !ok || !closed {
		ts.Fatalf("%s shows no session", args[0])
	}
	for i, step := range strings.Split(block, "\n$ ") {
		command, want, _ := strings.Cut(step, "\n")
		var got string
		if strings.HasPrefix(command, "curl ") {
			// The page of the environment's web, without its tags.
			out, err := exec.Command(berth, "server", "show", "qa/web", "--json", "--data", ts.Getenv("BERTH_DATA")).Output()
			ts.Check(err)
			var v orchestrator.Server
			ts.Check(json.Unmarshal(out, &v))
			page, err := exec.Command("curl", "-s", v.URL).Output()
			ts.Check(err)
			for line := range strings.Lines(html.UnescapeString(tags.ReplaceAllString(string(page), ""))) {
				if strings.TrimSpace(line) != "" {
					got += "  " + line
				}
			}
		} else {
			s := startOnTTY(ts, exec.Command("sh", "-c", command), 100, 40)
			<-s.done
			got, _ = s.text()
			s.pty.Close()
		}
		if alike(got) != alike(want) {
			ts.Fatalf("command %d of %s: %s\nsays:\n%s\n%s has:\n%s", i+1, args[0], command, got, args[0], want)
		}
	}
}
