package diagnose

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/diagnose/diagnosetest"
)

var update = flag.Bool("update", false, "write the golden files")

// ownWords are the tools' words in our own sentences; their messages may have
// the last one, which is a word of developers too.
var (
	ownWords = regexp.MustCompile(`(?i)\b(states?|salt|terraform|plan|providers?|modules?)\b`)
	quoted   = regexp.MustCompile(`"[^"]*"`)
)

func wellSaid(c orchestrator.Cause) []string { return diagnosetest.WellSaid(c) }

// recordedCase is a recorded run with what is said of it.
type recordedCase struct {
	diagnosetest.Case
	diagnosis orchestrator.Diagnosis
}

// read has each recorded run once for all tests, by its folder: most of them
// look at all of them, and the race detector makes a diagnosis slow.
var read sync.Map

func load(t *testing.T, dir string) recordedCase {
	t.Helper()
	once, _ := read.LoadOrStore(dir, sync.OnceValues(func() (recordedCase, error) {
		c, err := diagnosetest.Load(dir)
		if err != nil {
			return recordedCase{}, err
		}
		return recordedCase{c, Any(c.Input, c.Stderr, c.Truth.Exit)}, nil
	}))
	c, err := once.(func() (recordedCase, error))()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func find(t *testing.T, root string) []string {
	t.Helper()
	dirs, err := diagnosetest.Find(root)
	if err != nil {
		t.Fatal(err)
	}
	return dirs
}

func TestRecordedRuns(t *testing.T) {
	t.Parallel()
	dirs := find(t, "../../testdata")
	if len(dirs) < 12 {
		t.Fatalf("%d recorded runs", len(dirs))
	}
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Parallel()
			c := load(t, dir)
			d := c.diagnosis
			if m := diagnosetest.Judge(c.Truth, d); len(m) > 0 {
				t.Error(m)
			}
			if c.Truth.Scenario == "" { // what make corpus recorded says all that is true
				golden(t, filepath.Join(dir, "diagnosis.golden.json"), d)
			}
		})
	}
}

func golden(t *testing.T, name string, d orchestrator.Diagnosis) {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(d); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(name, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, b.Bytes()) {
		t.Errorf("%s (go test -update writes it anew):\n%s", name, b.String())
	}
}

// TestCorpus runs over a larger set, where BERTH_CORPUS names its folder; make
// score prints how many of it the program gets right. However few may be wrong:
// none says a word too much.
func TestCorpus(t *testing.T) {
	t.Parallel()
	root := os.Getenv("BERTH_CORPUS")
	if root == "" {
		t.Skip("BERTH_CORPUS names no folder of recorded results; testdata holds those that every run reads")
	}
	dirs := find(t, root)
	var s diagnosetest.Score
	for _, dir := range dirs {
		c := load(t, dir)
		d := c.diagnosis
		misses := diagnosetest.Judge(c.Truth, d)
		s.Add(misses)
		if len(misses) > 0 {
			t.Logf("%s: %s", filepath.Base(dir), misses)
		}
		for _, cause := range d.Causes {
			for _, m := range wellSaid(cause) {
				t.Errorf("%s: %s", filepath.Base(dir), m)
			}
		}
	}
	t.Log(s)
	if s.Percent() < 98 {
		t.Errorf("%d of %d wrong", s.Cases-s.Right, s.Cases)
	}
}

func chunk(tag, comment, changes string) string {
	c, _ := json.Marshal(comment)
	if changes == "" {
		changes = "{}"
	}
	parts := strings.Split(tag, "_|-")
	return fmt.Sprintf(`{"local":{%q:{"name":%q,"result":false,"comment":%s,"changes":%s,"__sls__":"app","__id__":%q,"__run_num__":1}}}`, tag, parts[2], c, changes, parts[1])
}

func printed(code int, stdout, stderr string) string {
	b, _ := json.Marshal(map[string]any{"retcode": code, "stdout": stdout, "stderr": stderr, "pid": 1})
	return string(b)
}

// Rows of the facts, in words that the recorded runs do not have.
func TestRows(t *testing.T) {
	t.Parallel()
	const git = "git_|-src_|-git@git.x.io:team/billing.git_|-latest"
	tests := []struct {
		row, in   string
		code, who string
		must      []string
	}{
		{"1", chunk(git, "No revision matching 'a'b' exists in the remote repository", ""), "branch_not_found", developer, []string{"a'b", "billing"}},
		{"3", chunk(git, "fatal: reference is not a tree: 0123456789012345678901234567890123456789", ""), "revision_not_found", developer, []string{"0123456789012345678901234567890123456789"}},
		{"4", chunk(git, "Fetch did not successfully retrieve rev 'deadbeef' from git@git.x.io:team/billing.git: x", ""), "branch_not_found", developer, []string{"deadbeef", "billing"}},
		{"6", chunk(git, "Clone failed: remote: x\nfatal: unable to access 'https://git.x.io/': The requested URL returned error: 403", ""), "git_auth", ops, []string{"billing"}},
		{"7", chunk(git, "Failed to check remote refs: @@@\n@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.", ""), "git_host_unknown", ops, []string{"git.x.io"}},
		{"7b", chunk(git, "Failed to check remote refs: fatal: unable to access 'x': server certificate verification failed. CAfile: none", ""), "git_host_unknown", ops, []string{"certificate"}},
		{"8", chunk(git, "Failed to check remote refs: remote: The project you were looking for could not be found or you don't have permission to view it.\nfatal: repository 'https://x/y.git/' not found", ""), "repo_not_found", ops, []string{"billing"}},
		{"9", chunk(git, "Clone failed: Connection timed out during banner exchange\nfatal: Could not read from remote repository.", ""), "git_unreachable", retry, []string{"git.x.io"}},
		{"9b", chunk(git, "Failed to check remote refs: fatal: unable to access 'x': The requested URL returned error: 502", ""), "git_unreachable", retry, []string{"502"}},
		{"12", chunk(git, "Failed to update submodules: fatal: clone of 'git@git.x.io:team/lib.git' into submodule path '/srv/src/vendor/lib' failed", ""), "submodule_failed", developer, []string{"vendor/lib", "billing"}},
		{"33", chunk(git, "Clone failed: error: unable to write file a/b\nfatal: unable to checkout working tree", ""), "disk_full", ops, []string{"disk"}},
		{"13", chunk("pkg_|-p_|-p_|-installed", "The following package(s) were not found, and no possible matches were found in the package db: foo, bar", ""), "package_not_found", ops, []string{"foo", "bar"}},
		{"13v", chunk("pkg_|-p_|-p_|-installed", "Problem encountered installing package(s). Additional info follows:\n\nerrors:\n    - E: Version '9.9' for 'redis' was not found", ""), "package_not_found", ops, []string{"redis", "9.9"}},
		{"15", chunk("pkg_|-p_|-p_|-installed", "An error was encountered while installing package(s): E: Failed to fetch http://deb.x.io/a.deb  404  Not Found [IP: 10.0.0.1 80]", ""), "package_mirror_unreachable", retry, []string{"deb.x.io"}},
		{"16", chunk("pkg_|-p_|-p_|-installed", "The following packages failed to install/update: imagick", ""), "package_install_failed", ops, []string{"imagick"}},
		{"17", chunk("service_|-s_|-worker_|-running", "Failed to start worker.service: Unit worker.service is masked.", ""), "service_unknown", ops, []string{"worker", "masked"}},
		{"18", chunk("service_|-s_|-worker_|-running", "Job for worker.service failed because the control process exited with error code.", ""), "service_failed", developer, []string{"worker"}},
		{"18o", chunk("service_|-s_|-nginx_|-running", "Service nginx has been enabled, and is dead", ""), "service_failed", ops, []string{"nginx"}},
		{"21", chunk("file_|-f_|-/opt/a.tgz_|-managed", "Specified sha256 checksum for /opt/a.tgz (aa) does not match actual checksum (bb). If the 'source_hash' value refers to a remote file", ""), "checksum_mismatch", ops, []string{"/opt/a.tgz"}},
		{"21a", chunk("archive_|-f_|-/opt/a_|-extracted", "File is cached to /var/cache/a.tgz, but the hash (aabb) does not match the specified hash (ccdd)", ""), "checksum_mismatch", ops, []string{"a.tgz", "/opt/a"}},
		{"21d", chunk("file_|-f_|-/opt/b_|-managed", "Unable to manage file: [Errno 111] Connection refused reading /dl/b.bin", ""), "source_missing", retry, []string{"/dl/b.bin"}},
		{"22c", chunk("file_|-f_|-/opt/c_|-managed", "Pillar shop:motd does not exist", ""), "settings_error", ops, []string{"shop:motd"}},
		{"22d", chunk("cron_|-backup_|-backup_|-present", "Cron backup for user joe failed to commit with error \n\"-\":0: bad minute\n", ""), "recipe_error", ops, []string{"backup", "bad minute"}},
		{"12b", chunk(git, "Failed to update submodules: fatal: No url found for submodule path 'theme' in .gitmodules", ""), "submodule_failed", developer, []string{"theme"}},
		{"13l", chunk("pkg_|-p_|-p_|-latest", "No information found for 'nginxx'.", ""), "package_not_found", ops, []string{"nginxx"}},
		{"15s", chunk("pkgrepo_|-p_|-deb http://x.io stable_|-managed", "Failed to configure repo 'deb http://x.io stable': key retrieval failed", ""), "package_mirror_unreachable", ops, []string{"x.io"}},
		{"22", chunk("file_|-f_|-/opt/a_|-managed", "Group web is not available", ""), "user_missing", ops, []string{"web"}},
		{"22r", chunk("cmd_|-c_|-make_|-run", "User 'builder' is not available", ""), "user_missing", ops, []string{"builder"}},
		{"26", chunk("pip_|-p_|-p_|-installed", "Failed to install packages: numpy. Error: ERROR: Could not find a version that satisfies the requirement numpy==99 (from versions: 1)\nERROR: No matching distribution found for numpy==99", ""), "python_dependency", developer, []string{"numpy==99"}},
		{"28", chunk("group_|-g_|-web_|-present", "Group web is not present but gid 33 is already taken by group www-data", ""), "account_setup_failed", ops, []string{"web", "www-data", "33"}},
		{"30", chunk("docker_image_|-i_|-reg.x.io/app_|-present", "Encountered error pulling reg.x.io/app:v9: 404 Client Error: Not Found (\"manifest for reg.x.io/app:v9 not found: manifest unknown\")", ""), "image_not_found", developer, []string{"reg.x.io/app:v9"}},
		{"30c", chunk("cmd_|-up_|-docker compose up -d_|-run", `Command "docker compose up -d" run`, printed(1, "", "Error response from daemon: pull access denied for team/app, repository does not exist or may require 'docker login'")), "image_not_found", developer, []string{"team/app"}},
		{"34", `{"local":["Rendering SLS 'base:web.site' failed: Jinja variable 'domain' is undefined; line 4\n\n---\nx"]}`, "recipe_error", ops, []string{"web.site", "domain", "line 4"}},
		{"38", `{"local":{"no_|-states_|-states_|-None":{"name":"No States","result":false,"comment":"No Top file or master_tops data matches found. Please see master log for details.","changes":{}}}}`, "no_role", ops, []string{"recipe"}},
		{"cmd git", chunk("cmd_|-c_|-git clone git@git.x.io:team/lib.git_|-run", `Command "git clone git@git.x.io:team/lib.git" run`, printed(128, "", "Cloning into 'lib'...\ngit@git.x.io: Permission denied (publickey).\nfatal: Could not read from remote repository.")), "git_auth", ops, []string{"lib"}},
		{"cmd apt", chunk("cmd_|-c_|-apt-get install -y foo_|-run", `Command "apt-get install -y foo" run`, printed(100, "Reading package lists...", "E: Unable to locate package foo")), "package_not_found", ops, []string{"foo"}},
		{"cmd pip", chunk("cmd_|-c_|-venv/bin/pip install -r requirements.txt_|-run", `Command "x" run`, printed(1, "", "ERROR: No matching distribution found for left==9")), "python_dependency", developer, []string{"left==9"}},
		{"cmd go", chunk("cmd_|-c_|-go build ./..._|-run", `Command "go build ./..." run`, printed(1, "", "# x.io/app\n./main.go:7:2: undefined: foo")), "command_failed", developer, []string{"main.go:7:2", "undefined: foo"}},
		{"cmd python", chunk("cmd_|-c_|-python3 run.py_|-run", `Command "python3 run.py" run`, printed(1, "", "Traceback (most recent call last):\n  File \"run.py\", line 3, in <module>\n    main()\nValueError: bad thing\n")), "command_failed", developer, []string{"ValueError: bad thing"}},
		{"cmd port", chunk("cmd_|-c_|-python3 -m http.server 8000_|-run", `Command "python3 -m http.server 8000" run`, printed(1, "", "OSError: [Errno 98] Address already in use")), "port_in_use", ops, nil},
		{"cmd pytest", chunk("cmd_|-c_|-pytest -q_|-run", `Command "pytest -q" run`, printed(1, "tests/a.py:4: AssertionError\nFAILED tests/a.py::test_total - assert 1 == 2\n1 failed in 0.01s", "")), "command_failed", developer, []string{"test_total"}},
		{"cmd compiler", chunk("cmd_|-c_|-make_|-run", `Command "make" run`, printed(2, "", "make: gcc: No such file or directory\nmake: *** [Makefile:2: a.o] Error 127")), "command_failed", ops, []string{"gcc", "not installed"}},
		{"cmd never ran", chunk("cmd_|-c_|-make_|-run", "The shell /bin/zsh is not available", ""), "command_failed", ops, []string{"/bin/zsh"}},
		{"arguments", `x`, "unreadable", retry, []string{"x"}},
		{"cycle", `{"local":["A recursive requisite was found, SLS \"app\" ID \"a\" ID \"b\""]}`, "requisite_cycle", ops, []string{"a", "b"}},
		{"refused", `{"local":["The function file in SLS app has whitespace"]}`, "recipe_error", ops, []string{"does not know"}},
		{"fallback", chunk("frob_|-f_|-x_|-set", "The frobnicator says Jinja pillar no", ""), "salt_exception", ops, []string{"does not know", "frobnicator"}},
		{"api", `{"return":[{"m1":` + strings.TrimSuffix(strings.TrimPrefix(chunk(git, "No revision matching 'q' exists in the remote repository", ""), `{"local":`), "}") + `,"m2":false}]}`, "branch_not_found", developer, []string{"q"}},
	}
	for _, tt := range tests {
		t.Run(tt.row, func(t *testing.T) {
			t.Parallel()
			d := Any([]byte(tt.in), nil, 2)
			if len(d.Causes) == 0 {
				t.Fatalf("no cause: %+v", d)
			}
			c := d.Causes[0]
			if c.Code != tt.code || c.Who != tt.who {
				t.Errorf("%s/%s instead of %s/%s: %s", c.Code, c.Who, tt.code, tt.who, c.Sentence)
			}
			for _, m := range tt.must {
				if !strings.Contains(c.Sentence, m) {
					t.Errorf("%q lacks %q", c.Sentence, m)
				}
			}
			for _, m := range wellSaid(c) {
				t.Error(m)
			}
			if ownWords.MatchString(quoted.ReplaceAllString(c.Sentence, "")) && tt.row != "fallback" && tt.row != "refused" {
				t.Errorf("our jargon in %q", c.Sentence)
			}
		})
	}
}

// Templates are ours alone: no slot is left open, no word is jargon.
func TestTables(t *testing.T) {
	t.Parallel()
	for name, table := range map[string][]record{"state": stateRecords, "message": messageRecords, "machine": machineRecords, "boot": bootRecords, "health": healthRecords, "problem": problemRecords, "killed": killedRecords, "stderr": stderrRecords, "families": families} {
		for i, r := range table {
			words := slot.ReplaceAllString(r.sentence, "")
			if diagnosetest.Jargon(words) != "" || ownWords.MatchString(quoted.ReplaceAllString(words, "")) {
				t.Errorf("%s[%d]: jargon in %q", name, i, r.sentence)
			}
			if r.code == "" || r.sentence == "" || r.next == "" || r.who != developer && r.who != ops && r.who != retry {
				t.Errorf("%s[%d] is not whole: %+v", name, i, r)
			}
			if ownWords.MatchString(quoted.ReplaceAllString(r.next, "")) || diagnosetest.Jargon(r.next) != "" {
				t.Errorf("%s[%d]: jargon in %q", name, i, r.next)
			}
		}
	}
}

func TestMask(t *testing.T) {
	t.Parallel()
	m := newMasker("https://deploy:Gold-Fisch9@git.x.io/a.git", "s3cr3t-value")
	for _, secret := range []string{
		"https://deploy:Gold-Fisch9@git.x.io/a.git", "it said Gold-Fisch9 twice", "postgres://u:hunter22@db/x", "https://ghs_abcdefghijklmnopqrstuvwxyz@github.com/x",
		"token ghp_abcdefghijklmnopqrstuvwxyz0123", "Authorization: Bearer abcdefghijklmnop", "DB_PASSWORD=hunter22", `"api_key": "hunter22"`, "--password hunter22",
		"AKIAABCDEFGHIJKLMNOP", "glpat-abcdefghijklmnopqrst", "xoxb-1234567890-abcdef", "s3cr3t-value", "czNjcjN0LXZhbHVl", "-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----",
	} {
		got := m.mask(secret)
		for _, part := range []string{"Gold-Fisch9", "hunter22", "ghs_a", "ghp_a", "abcdefghijklmnop", "AKIA", "glpat-", "xoxb-1", "s3cr3t-value", "czNjcjN0", "abc\n"} {
			if strings.Contains(secret, part) && strings.Contains(got, part) {
				t.Errorf("mask(%q) = %q", secret, got)
			}
		}
	}
	for _, open := range []string{"git@github.com:acme/shop.git", "ssh://git@h/x", "http://h:8080/x", "password authentication failed for user", "KEY={{ settings['secrets']['key'] }}", "Token expected at line 3"} {
		if got := m.mask(open); got != open {
			t.Errorf("mask(%q) = %q", open, got)
		}
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	app := orchestrator.App{Name: "billing", Repository: "git@git.x.io:team/billing.git", Health: "/healthz", Port: 8080, Start: "python3 app.py"}
	d, hide := &Diagnoser{}, orchestrator.Masker(map[string]string{"A": "Zitronenfalter"}, nil)
	const good = `{"local":{"cmd_|-a_|-a_|-run":{"result":true,"comment":"","__sls__":"app","__id__":"a"}}}`
	gone := strings.Repeat("ab", 20)
	tests := []struct {
		name   string
		branch string
		r      orchestrator.Report
		code   string
		must   string
	}{
		{"well", "main", orchestrator.Report{Stdout: good, Healthy: true}, "", ""},
		{"not well", "main", orchestrator.Report{Stdout: good, HealthDetail: "connection refused", AppLog: "Traceback (most recent call last):\nRuntimeError: no key Zitronenfalter\n"}, "health_failed", "RuntimeError: no key ••••"},
		{"port taken", "main", orchestrator.Report{Stdout: good, HealthDetail: "exited", AppLog: "OSError: [Errno 98] Address already in use: ('', 8080)"}, "port_in_use", "8080"},
		{"port taken by a stranger", "main", orchestrator.Report{Stdout: good, PortTaken: true, HealthDetail: "port 41001 is taken by another program on this machine (process 7)", AppLog: "OSError: [Errno 98] Address already in use: ('', 41001)"}, "port_in_use", "port 41001 is taken by another program"},
		{"port taken by a stranger later", "main", orchestrator.Report{Later: true, PortTaken: true, HealthDetail: "the app ended with exit status 2 (8 times); port 41001 is taken by another program on this machine (process 7)"}, "port_in_use", "not well any more: port 41001 is taken by another program on this machine (process 7)."},
		{"a setting is missing", "main", orchestrator.Report{Stdout: good, HealthDetail: "exited", AppLog: "Traceback (most recent call last):\n  File \"app.py\", line 1\nKeyError: 'DATABASE_URL'"}, "settings_error", "DATABASE_URL"},
		{"another port", "main", orchestrator.Report{Stdout: good, HealthDetail: "nothing listened on port 41001 within 1m0s", AppLog: "Server listening on port 3000\n"}, "health_failed", "listens on port 3000 instead of port 41001"},
		{"the right port, and still nothing", "main", orchestrator.Report{Stdout: good, HealthDetail: "nothing listened on port 41001 within 1m0s", AppLog: "Server listening on port 41001\n"}, "health_failed", "was started"},
		{"a time is no port", "main", orchestrator.Report{Stdout: good, HealthDetail: "nothing listened on port 41001 within 1m0s", AppLog: "Started at 10:00:01 on 2026-11-24\n"}, "health_failed", "was started"},
		{"nor is another's port", "main", orchestrator.Report{Stdout: good, HealthDetail: "nothing listened on port 41001 within 1m0s", AppLog: "waiting for the database running at db:5432\n"}, "health_failed", "was started"},
		{"what the agent notes is not the app's", "main", orchestrator.Report{Stdout: good, HealthDetail: "the app ended with exit status 3 (2 times)", AppLog: "no tables yet\n[berth] The app ended with exit status 3.\n"}, "health_failed", "Its last words: \"no tables yet\""},
		{"crashing", "main", orchestrator.Report{Stdout: good, HealthDetail: "the app ended with exit status 3 (5 times); nothing listened on port 41001", AppLog: "ValueError: no such colour: Zitronenfalter\n"}, "health_failed", "exit status 3 (5 times). Its last words: \"ValueError: no such colour: ••••\""},
		{"its database is away", "main", orchestrator.Report{Stdout: good, HealthDetail: "the app ended with exit status 1 (5 times)", AppLog: "Error: connect ECONNREFUSED 10.0.0.3:5432\n"}, "dependency_unreachable", "10.0.0.3:5432"},
		{"another thing is away that it does without", "main", orchestrator.Report{Stdout: good, HealthDetail: "GET /healthz answered 404 within 1m0s", AppLog: "Error: connect ECONNREFUSED 10.0.0.3:5432\n"}, "health_failed", "does not know \"/healthz\""},
		{"not well later", "main", orchestrator.Report{Later: true, HealthDetail: "GET /healthz answered 502"}, "health_failed", "not well any more (GET /healthz answered 502)"},
		{"no Salt", "main", orchestrator.Report{Problem: "salt-call was not found in PATH"}, "salt_missing", "salt-call"},
		{"unwritable", "main", orchestrator.Report{Problem: "The folder /srv/x is not writable: permission denied"}, "permission_denied", "/srv/x"},
		{"other problem", "main", orchestrator.Report{Problem: "The moon is full"}, "unknown", "The moon is full"},
		{"branch deleted since", "feature/x", orchestrator.Report{Exit: 2, Stdout: chunk("git_|-s_|-git@git.x.io:team/billing.git_|-latest", "No revision matching 'feature/x' exists in the remote repository", "")}, "branch_not_found", "deleted or renamed since"},
		{"commit gone", "feature/x", orchestrator.Report{Exit: 2, Stdout: chunk("git_|-s_|-git@git.x.io:team/billing.git_|-latest", "No revision matching '"+gone+"' exists in the remote repository", "")}, "revision_not_found", "rewritten or deleted"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := d.Report(app, tt.branch, tt.r, hide)
			if tt.code == "" {
				if got.Outcome != orchestrator.OutcomeOK || len(got.Causes) != 0 {
					t.Errorf("%+v", got)
				}
				return
			}
			if len(got.Causes) != 1 || got.Causes[0].Code != tt.code || !strings.Contains(got.Causes[0].Sentence, tt.must) {
				t.Fatalf("%+v", got)
			}
			if all, _ := json.Marshal(got); bytes.Contains(all, []byte("Zitronenfalter")) {
				t.Errorf("a setting is told: %s", all)
			}
			for _, m := range wellSaid(got.Causes[0]) {
				t.Error(m)
			}
		})
	}
}

// What make prints of a command is not what the command said.
func TestCommandThatSays(t *testing.T) {
	t.Parallel()
	for output, want := range map[string]string{
		"test -f x || (echo \"check failed\" && false)\ncheck failed\n":                        "check failed",
		"./build; echo 'the end: ERROR bad thing'; exit 1\nstep 1\nthe end: ERROR bad thing\n": "the end: ERROR bad thing",
		"./check || (echo \"check failed\"; exit 1)\nother words\n":                            "./check || (echo \"check failed\"; exit 1)",
	} {
		if got := telling("make: *** [Makefile:2: build] Error 1\n", output); got != want {
			t.Errorf("%q: %q", output, got)
		}
	}
}

// An app that lives and does not listen yet may only need longer.
func TestSlowStart(t *testing.T) {
	t.Parallel()
	app := orchestrator.App{Name: "shop", Port: 8080}
	for detail, slow := range map[string]bool{"nothing listened on port 41001 within 1m0s": true, "the app ended with exit status 3 (5 times); nothing listened on port 41001": false} {
		got := (&Diagnoser{}).Report(app, "main", orchestrator.Report{Stdout: `{"local":{"cmd_|-a_|-a_|-run":{"result":true,"comment":"","__sls__":"app","__id__":"a"}}}`, HealthDetail: detail}, orchestrator.Masker(nil, nil))
		if len(got.Causes) != 1 || strings.Contains(got.Causes[0].Next, "longer health_timeout") != slow || !strings.Contains(got.Causes[0].Next, "berth env logs") {
			t.Errorf("%s: %+v", detail, got.Causes)
		}
	}
}

// A start command of the catalog is not the developer's to mend.
func TestStartCommandOfOps(t *testing.T) {
	t.Parallel()
	r := orchestrator.Report{Later: true, HealthDetail: "the app ended with exit status 127 (3 times); nothing listened on port 41001", AppLog: "/bin/sh: 1: pyhton3: not found\n"}
	for start, next := range map[string]string{"": "Mend the start command", "pyhton3 app.py": "if the start command is wrong, ask ops"} {
		got := (&Diagnoser{}).Report(orchestrator.App{Name: "shop", Port: 8080, Start: start}, "main", r, orchestrator.Masker(nil, nil))
		if len(got.Causes) != 1 || !strings.Contains(got.Causes[0].Sentence, `needs "pyhton3"`) || !strings.Contains(got.Causes[0].Next, next) {
			t.Errorf("%q: %+v", start, got)
		}
	}
}

func TestCloudInit(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, log, code string }{
		{"lock", "cloud-init[812]: Cloud-init v. 22.4.2 running\nE: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 1\n", "package_busy"},
		{"mirror", "Cloud-init v. 22.4.2 running 'modules:final'\nErr:1 http://deb.x.io bookworm InRelease\n  Temporary failure resolving 'deb.x.io'\n", "package_mirror_unreachable"},
		{"disk", "Cloud-init v. 22.4.2\ntar: write error: No space left on device\n", "disk_full"},
		{"network", "Cloud-init v. 22.4.2\ncurl: (6) Could not resolve host: berth.x.io\n", "cloud_unreachable"},
		{"checksum", "Cloud-init v. 22.4.2\nsha256sum: WARNING: 1 computed checksum did NOT match\n", "checksum_mismatch"},
		{"unknown", "Cloud-init v. 22.4.2\n2026 - util.py[WARNING]: Failed to run module bootcmd\n", "unknown"},
		{"fine", "Cloud-init v. 22.4.2 finished at Mon\n", ""},
		{"the log of cloud-init itself", "2026-11-24 10:00:01,123 - util.py[DEBUG]: Running command ['echo', 'No space left on device'] with allowed return codes [0]\n2026-11-24 10:00:02,001 - schema.py[WARNING]: Invalid cloud-config provided: Please run 'sudo cloud-init schema --system' to see the schema errors.\n", "module_invalid"},
		{"for debugging alone", "2026-11-24 10:00:01,123 - util.py[DEBUG]: Running command ['false'] failed\nTraceback (most recent call last):\nOSError: [Errno 28] No space left on device\n2026-11-24 10:00:02,001 - util.py[DEBUG]: Cloud-init v. 22.4.2 finished\n", ""},
		{"the trace of a warning", "2026-11-24 10:00:01,123 - cc_scripts_user.py[WARNING]: Failed to run module scripts-user\n2026-11-24 10:00:01,124 - util.py[WARNING]: Running module scripts-user failed\n2026-11-24 10:00:01,125 - util.py[DEBUG]: Running module scripts-user failed\nTraceback (most recent call last):\nOSError: [Errno 28] No space left on device\n", "disk_full"},
		{"journal", "Nov 24 10:00:01 web cloud-init[812]: E: Unable to locate package gcc\nNov 24 10:00:02 web cloud-init[812]: Failed running /var/lib/cloud/instance/scripts/runcmd [100]\n", "package_not_found"},
		{"journal with full times", "2026-11-24T10:00:01.123456+00:00 web cloud-init[812]: curl: (6) Could not resolve host: berth.x.io\n", "cloud_unreachable"},
		{"console", "[   86.456237] cloud-init[693]: 2026-11-24 10:00:01,802 - schema.py[WARNING]: Invalid cloud-config provided: see the schema errors.\n", "module_invalid"},
		{"the agent's journal", "Nov 24 10:00:01 web systemd[1]: Started berth-agent.service - Berth's agent.\nNov 24 10:00:02 web berth[900]: level=WARN msg=\"trying again\" what=enrolling error=\"Berth answered 403 Forbidden: refused\"\n", "enrolment_refused"},
		{"tried again and overcome", "Cloud-init v. 22.4.2 running\nE: Could not get lock /var/lib/dpkg/lock-frontend\nCreated symlink /etc/systemd/system/multi-user.target.wants/berth-agent.service → /etc/systemd/system/berth-agent.service.\nCloud-init v. 22.4.2 finished at Mon\n", ""},
		{"failed after it came up", "Cloud-init v. 22.4.2 running\nE: Could not get lock /var/lib/dpkg/lock-frontend\nCreated symlink /etc/systemd/system/multi-user.target.wants/berth-agent.service → /etc/systemd/system/berth-agent.service.\nCloud-init v. 22.4.2 running 'modules:final'\nberth-agent.service: Main process exited, code=exited, status=1/FAILURE\n", "service_failed"},
		{"what stands last", "Cloud-init v. 22.4.2 running\nE: Could not get lock /var/lib/dpkg/lock-frontend\n" + strings.Repeat("Setting up a package ...\n", 40) + "sha256sum: WARNING: 1 computed checksum did NOT match\nFailed running /var/lib/cloud/instance/scripts/runcmd [1]\n", "checksum_mismatch"},
		{"status", "status: error\nextended_status: error - done\nboot_status_code: enabled-by-generator\ndetail: DataSourceNoCloud [seed=/var/lib/cloud/seed]\nerrors:\n\t- ('scripts-user', RuntimeError('Runparts: 1 failures (runcmd) in 1 attempted commands'))\n", "command_failed"},
		{"status of what was not done", "status: disabled\nboot_status_code: disabled-by-marker-file\ndetail: Cloud-init disabled by /etc/cloud/cloud-init.disabled\n", "start_data_missing"},
		{"status, all well", "status: done\nboot_status_code: enabled-by-generator\ndetail: DataSourceNoCloud\nerrors: []\nrecoverable_errors: {}\n", ""},
		{"status, data not taken", "status: done\nextended_status: degraded done\ndetail: DataSourceNoCloud\nerrors: []\nrecoverable_errors:\nWARNING:\n\t- Failed loading yaml blob. Invalid format at line 3 column 1\n", "module_invalid"},
		{"Salt's own script", "bootstrap-salt.sh -- Version 2024.01.04\n *  INFO: System Information:\n * ERROR: Failed to run install_debian_onedir()!!!\n", "salt_missing"},
		{"Salt's own script, in the end", "bootstrap-salt.sh -- Version 2024.01.04\n * ERROR: Failed to run an attempt\n *  INFO: Salt installed!\n", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := Any([]byte(tt.log), nil, -1)
			code := ""
			if len(d.Causes) > 0 {
				code = d.Causes[0].Code
				for _, m := range wellSaid(d.Causes[0]) {
					t.Error(m)
				}
			}
			if code != tt.code {
				t.Errorf("%q instead of %q: %+v", code, tt.code, d)
			}
		})
	}
}

func FuzzAny(f *testing.F) {
	f.Add([]byte(`{"local":{}}`), []byte("x"), 2)
	f.Add([]byte(`{"@level":"error","@message":"x","type":"diagnostic","diagnostic":{"severity":"error","summary":"execution halted"}}`), []byte(""), 1)
	f.Add([]byte("Cloud-init v. 1\nERROR"), []byte(""), -1)
	cases, _ := filepath.Glob("../../testdata/*/*/result.json")
	for _, c := range cases {
		if b, err := os.ReadFile(c); err == nil && len(b) < 64<<10 {
			f.Add(b, []byte(""), 2)
		}
	}
	f.Fuzz(func(t *testing.T, in, stderr []byte, exit int) {
		d := Any(in, stderr, exit)
		if (d.Outcome == orchestrator.OutcomeOK) != (len(d.Causes) == 0) {
			t.Errorf("%+v", d)
		}
		for _, c := range d.Causes {
			if utf8.RuneCountInString(c.Sentence) > sentenceLimit || c.Sentence == "" || !utf8.ValidString(c.Sentence) || !utf8.ValidString(c.Evidence) || strings.ContainsAny(c.Sentence, "\n\r\x1b") {
				t.Errorf("%q", c.Sentence)
			}
		}
	})
}

// BenchmarkSalt diagnoses results of 10 MB; make bench holds them to their
// limits.
func BenchmarkSalt(b *testing.B) {
	for _, l := range diagnosetest.LargeResults(10 << 20) {
		b.Run(l.Name, func(b *testing.B) {
			b.SetBytes(int64(len(l.Input)))
			b.ReportAllocs()
			for b.Loop() {
				Salt(l.Input, nil, 2)
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, l := range diagnosetest.LargeResults(10 << 20) {
		b.Run(l.Name, func(b *testing.B) {
			b.SetBytes(int64(len(l.Input)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := diagnosetest.Decode(l.Input); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// What to do next works when it is pasted where it is read, does not say again
// who can mend it, and leads back to the environment.
func TestNextSteps(t *testing.T) {
	t.Parallel()
	event := func(detail string) []byte {
		d, _ := json.Marshal(map[string]any{"@level": "error", "@message": "Error", "type": "diagnostic", "diagnostic": map[string]any{"severity": "error", "summary": "Error: it failed", "detail": detail, "address": `aws_instance.server["api"]`}})
		return d
	}
	for name, test := range map[string]struct {
		detail, code, who string
		says              []string
	}{
		"size":        {"InsufficientInstanceCapacity: no", "capacity", "retry", []string{`"berth env retry NAME"`, `"berth env destroy NAME"`}},
		"unknown":     {"InvalidInstanceType: x", "size_unknown", "ops", []string{"correct this size in the catalog", `"berth env retry NAME"`}},
		"quota":       {"QuotaExceeded: x", "quota_exceeded", "ops", []string{`"berth env list"`, `"berth env retry NAME"`}},
		"value":       {`No value for required variable "region"`, "variable_missing", "ops", []string{`"berth env retry NAME"`}},
		"leftover":    {"EntityAlreadyExists: x", "name_taken", "ops", []string{`"berth env retry NAME"`}},
		"credentials": {"AuthFailure: x", "credentials_invalid", "ops", []string{"Send ops this message; after that:"}},
	} {
		d := Terraform(event(test.detail), nil)
		if len(d.Causes) != 1 || d.Causes[0].Code != test.code || d.Causes[0].Who != test.who {
			t.Errorf("%s: %+v", name, d.Causes)
			continue
		}
		for _, s := range test.says {
			if !strings.Contains(d.Causes[0].Next, s) {
				t.Errorf("%s: next %q lacks %q", name, d.Causes[0].Next, s)
			}
		}
		if strings.Contains(d.Causes[0].Next, "nly ops") || strings.Contains(d.Causes[0].Next, "nother size, or") {
			t.Errorf("%s: next %q", name, d.Causes[0].Next)
		}
	}
}

// Servers on Berth's own machine are in no cloud, and whatever is left of them
// is taken up by the next run.
func TestBrokenOffOnBerthsMachine(t *testing.T) {
	t.Parallel()
	start := func(addr string) string {
		return `{"@level":"info","@message":"x","type":"apply_start","hook":{"resource":{"addr":"module.environment.` + addr + `[\"api\"]"},"action":"create"}}` + "\n"
	}
	canceled := `{"@level":"error","@message":"Error: operation canceled","type":"diagnostic","diagnostic":{"severity":"error","summary":"operation canceled","detail":""}}` + "\n"
	for _, rest := range []string{"", canceled} {
		local := Terraform([]byte(start("terraform_data.server")+rest), nil).Causes[0]
		if local.Who != "retry" || strings.Contains(local.Sentence+local.Next, "cloud") || strings.Contains(local.Sentence, "machines may exist") || !strings.Contains(local.Next, "env retry NAME") {
			t.Errorf("on Berth's machine: %+v", local)
		}
		cloud := Terraform([]byte(start("aws_instance.server")+rest), nil).Causes[0]
		if cloud.Who != "ops" || !strings.Contains(cloud.Sentence, "machines may exist") || !strings.Contains(cloud.Next, "what the cloud has") {
			t.Errorf("in a cloud: %+v", cloud)
		}
	}
}
