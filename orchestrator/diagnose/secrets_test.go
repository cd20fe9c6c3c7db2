package diagnose

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/berth-dev/berth/orchestrator"
)

// Wherever in a report a setting stands, and however it is written there,
// nothing of a diagnosis tells it: not where texts are cut either.
func TestSettingsAreNotTold(t *testing.T) {
	t.Parallel()
	const secret = `S3cr3t/of+the=day "and night"`
	d, hide := Diagnoser{}, orchestrator.Masker(map[string]string{"DB": secret, "SHORT_TOKEN": "zq9!x", "PORT": "80808080"}, []string{"PORT"})
	app := orchestrator.App{Name: "shop", Repository: "git@git.x.io:team/shop.git", Health: "/healthz", Port: 8080, Start: "python3 app.py"}
	quoted, _ := json.Marshal(secret)
	const good = `{"local":{"cmd_|-a_|-a_|-run":{"result":true,"comment":"","__sls__":"app","__id__":"a"}}}`
	state := func(name, id, comment, changes string) string {
		n, _ := json.Marshal(name)
		c, _ := json.Marshal(comment)
		i, _ := json.Marshal(id)
		tag, _ := json.Marshal("cmd_|-" + id + "_|-" + name + "_|-run")
		return fmt.Sprintf(`{"local":{%s:{"name":%s,"result":false,"comment":%s,"changes":%s,"__sls__":"app","__id__":%s,"__run_num__":1},
"cmd_|-b %d_|-b_|-run":{"name":"b","result":false,"comment":"One or more requisite failed: app.%s","changes":{},"__sls__":"app","__id__":"after","__run_num__":2}}}`, tag, n, c, changes, i, len(id), strings.Trim(string(i), `"`))
	}
	for how, s := range map[string]string{
		"plain": secret, "JSON": string(quoted), "URL": url.QueryEscape(secret), "base64": base64.StdEncoding.EncodeToString([]byte("x" + secret + "y")), "in an address": "postgres://app:" + url.PathEscape(secret) + "@db/x", "short": "zq9!x",
	} {
		line := "Error: the server said " + s
		long := strings.Repeat("x", 150) + " Error: " + s + strings.Repeat(" y", 9000)
		list, _ := json.Marshal([]string{"Rendering SLS 'base:shop' failed: Jinja variable 'x' is undefined " + s, line})
		for where, r := range map[string]orchestrator.Report{
			"stdout":        {Exit: 2, Stdout: state("make", "build", `Command "make" run`, printed(1, line, ""))},
			"stderr":        {Exit: 2, Stdout: state("make", "build", `Command "make" run`, printed(1, "", line))},
			"a long line":   {Exit: 2, Stdout: state("make", "build", `Command "make" run`, printed(1, "", long))},
			"a command":     {Exit: 2, Stdout: state("mysql -p"+s+" shop", "build", `Command "mysql -p`+s+` shop" run`, printed(1, "", ""))},
			"an ID":         {Exit: 2, Stdout: state("make", "step "+s, "it failed", "{}")},
			"a comment":     {Exit: 2, Stdout: state("make", "build", "The frobnicator said "+s, "{}")},
			"messages":      {Exit: 1, Stdout: `{"local":` + string(list) + `}`},
			"no JSON":       {Exit: 1, Stdout: line},
			"the log":       {Exit: 1, Stderr: "[ERROR   ] " + line},
			"beside it":     {Exit: 2, Stdout: state("make", "build", "it failed", "{}"), Stderr: "[ERROR   ] " + line},
			"a problem":     {Problem: "The folder /srv/" + s + " is not writable: permission denied"},
			"the health":    {Stdout: good, HealthDetail: "it answered " + s},
			"the app's log": {Stdout: good, HealthDetail: "it ended", AppLog: "Traceback (most recent call last):\nRuntimeError: " + s + "\n"},
		} {
			out := d.Report(app, "main", r, hide)
			if len(out.Causes) == 0 {
				t.Errorf("%s in %s: no cause", how, where)
				continue
			}
			all := out.Causes[0].Where + "\n" + out.Causes[0].Sentence + "\n" + out.Causes[0].Next + "\n" + out.Causes[0].Evidence + "\n" + strings.Join(out.Causes[0].Blocked, "\n")
			for _, piece := range []string{s, secret[:12], secret[12:24], url.QueryEscape(secret)[:16], "zq9!x"} {
				if strings.Contains(all, piece) {
					t.Errorf("%s in %s: %q is told: %q", how, where, piece, all[:min(len(all), 600)])
					break
				}
			}
		}
	}
	// Every place at which a text may be cut.
	for pad := 0; pad < 300; pad += 7 {
		out := d.Report(app, "main", orchestrator.Report{Exit: 2, Stdout: state("make", "build", `Command "make" run`, printed(1, "", "Error: "+strings.Repeat("x", pad)+" "+secret+" "+strings.Repeat("z", 600)))}, hide)
		for i := 0; i+14 <= len(secret); i++ {
			if all, _ := json.Marshal(out); strings.Contains(string(all), secret[i:i+14]) {
				t.Fatalf("after %d: %s", pad, out.Causes[0].Sentence)
			}
		}
	}
	open := d.Report(app, "main", orchestrator.Report{Stdout: good, HealthDetail: "port 80808080 takes no connection"}, hide)
	if !strings.Contains(open.Causes[0].Sentence, "80808080") {
		t.Errorf("what is public is hidden: %s", open.Causes[0].Sentence)
	}
}
