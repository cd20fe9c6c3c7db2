package diagnose

import (
	"strings"
	"testing"
)

// TestWordsOfTools: what Salt 3008.3, git and the tools of builds print.
func TestWordsOfTools(t *testing.T) {
	t.Parallel()
	const (
		git     = "git_|-hull_|-https://git.x.io/yard/slip.git_|-latest"
		file    = "file_|-f_|-/srv/yard/a.conf_|-managed"
		archive = "archive_|-crane_|-/srv/yard/crane_|-extracted"
	)
	cmd := func(line string, code int, stdout, stderr string) string {
		return chunk("cmd_|-build_|-"+line+"_|-run", `Command "`+line+`" run`, printed(code, stdout, stderr))
	}
	const cannotList = "Unable to list contents of %s. If this is an XZ-compressed tar archive, install XZ Utils to enable listing its contents. If it is compressed using something other than XZ, it may be necessary to specify CLI options to decompress the archive. See the documentation for details. Additional info follows:\n\narchive location:\n    %s\n\nIf the source archive is a tar archive compressed using a compression type not natively supported by the tar command, then setting the 'list_options' argument may allow the contents to be listed."
	tests := []struct {
		name, in  string
		code, who string
		must      []string
		not       string
	}{
		{"no module is no network", cmd("python3 -m quayside.migrate", 1, "", "/usr/bin/python3: Error while finding module specification for 'quayside.migrate' (ModuleNotFoundError: No module named 'quayside')"), "command_failed", developer, []string{"No module named 'quayside'"}, ""},
		{"no file is no network", cmd("python3 load.py", 1, "", "Traceback (most recent call last):\n  File \"load.py\", line 1, in <module>\n    open(\"tides.csv\")\nFileNotFoundError: [Errno 2] No such file or directory: 'tides.csv'"), "command_failed", developer, []string{"tides.csv"}, ""},
		{"a proxy is no health check", cmd("GOPROXY=http://127.0.0.1:9 go mod download", 1, "", "go: example.com/rope@v1.0.0: reading http://127.0.0.1:9/example.com/rope/@v/v1.0.0.mod: 404 Not Found"), "command_failed", developer, []string{"http://127.0.0.1:9/example.com/rope/@v/v1.0.0.mod: 404"}, "***"},
		{"a health check", cmd("curl -fsS http://127.0.0.1:8080/healthz", 7, "", "curl: (7) Failed to connect to 127.0.0.1 port 8080 after 0 ms: Couldn't connect to server"), "command_failed", developer, []string{"port 8080"}, ""},
		{"pip's version of a repository", cmd("python3 -m pip install git+http://git.x.io:8080/yard/slip.git@v2", 1, "", "Collecting git+http://git.x.io:8080/yard/slip.git@v2\n  fatal: repository 'http://git.x.io:8080/yard/slip.git/' not found\n  error: subprocess-exited-with-error"), "repo_not_found", developer, []string{`"slip"`}, "***"},
		{"npm ci without a lock", cmd("npm ci", 1, "", "npm error code EUSAGE\nnpm error\nnpm error The `npm ci` command can only install with an existing package-lock.json or\nnpm error npm-shrinkwrap.json with lockfileVersion >= 1. Run an install with npm@5 or\nnpm error later to generate a package-lock.json file, then try again."), "node_dependency", developer, []string{"has no package-lock.json"}, ""},
		{"go test", cmd("go test ./...", 1, "--- FAIL: TestDepth (0.00s)\n    buoy_test.go:3: depth is 3, want 4\nFAIL\nFAIL\texample.com/buoy\t0.003s\nFAIL", ""), "command_failed", developer, []string{"TestDepth", "depth is 3, want 4"}, ""},
		{"unittest", cmd("python3 -m unittest", 1, "", "F\n======================================================================\nFAIL: test_gate (test_gates.T.test_gate)\n----------------------------------------------------------------------\nTraceback (most recent call last):\n  File \"test_gates.py\", line 3, in test_gate\n    self.assertEqual(1, 2, \"gate count\")\nAssertionError: 1 != 2 : gate count\n\n----------------------------------------------------------------------\nRan 1 test in 0.000s\n\nFAILED (failures=1)"), "command_failed", developer, []string{"test_gate", "1 != 2 : gate count"}, ""},
		{"java", cmd("java Boom.java", 1, "", "Exception in thread \"main\" java.lang.IllegalStateException: crane 4 has no load cell\n\tat Boom.main(Boom.java:1)\n\t... 6 more"), "command_failed", developer, []string{"IllegalStateException: crane 4 has no load cell"}, "Boom.main"},
		{"rust", cmd("target/release/winch", 101, "", "\nthread 'main' panicked at src/main.rs:2:5:\nthe rope is too short\nnote: run with `RUST_BACKTRACE=1` environment variable to display a backtrace"), "command_failed", developer, []string{"src/main.rs:2:5", "the rope is too short"}, ""},
		{"ruby", cmd("ruby crane.rb", 1, "", "crane.rb:2:in `lift': too heavy by 3 t (OverloadError)\n\tfrom crane.rb:4:in `<main>'"), "command_failed", developer, []string{"too heavy by 3 t"}, ""},
		{"dotnet", cmd("dotnet run", 134, "", "Unhandled exception. System.InvalidOperationException: no crew on deck\n   at Dock.Main() in /src/Dock.cs:line 5"), "command_failed", developer, []string{"no crew on deck", "aborted"}, ""},
		{"crashed in silence", cmd("./winch --check", -11, "", ""), "command_failed", developer, []string{"crashed (segmentation fault)."}, "printed nothing"},
		{"ended from outside", cmd("./winch --check", -15, "", ""), "command_failed", retry, []string{"stopped from outside"}, ""},
		{"timeout's own status", cmd("timeout 60 ./tide-tables", 124, "", ""), "command_timeout", retry, []string{"timeout 60 ./tide-tables", "too long"}, ""},
		{"checkout of an unsaid repository", cmd("git fetch && git checkout feature/none", 1, "", "error: pathspec 'feature/none' did not match any file(s) known to git"), "branch_not_found", developer, []string{`no branch "feature/none".`}, "build"},

		{"out of memory in git", chunk(git, "Clone failed: error: index-pack died of signal 9\nfatal: index-pack failed", ""), "out_of_memory", ops, []string{"memory"}, ""},
		{"no unit file", cmd("systemctl enable --now winchd", 1, "", "Failed to enable unit: Unit file winchd.service does not exist."), "service_unknown", ops, []string{"winchd"}, ""},
		{"what git said is raised", chunk("git_|-d_|-/srv/yard/depot_|-present", "An exception occurred in this state: Traceback (most recent call last):\n  File \"x.py\", line 1, in y\nsalt.exceptions.CommandExecutionError: Command 'git init --bare /srv/yard/depot' failed: fatal: cannot mkdir /srv/yard/depot: File exists\n", ""), "git_target_occupied", ops, []string{"/srv/yard/depot"}, ""},
		{"an ID in the tools' words", chunk("file_|-hull-pillar_|-/srv/yard/a.conf_|-directory", "User bosun is not available ", ""), "user_missing", ops, []string{"bosun"}, "pillar"},
		{"a file where the checkout goes", chunk(git, "Target '/srv/yard/slip' exists and is a regular file, cannot proceed", ""), "git_target_occupied", ops, []string{"/srv/yard/slip", "slip"}, ""},
		{"no key", chunk(git, "Failed to check remote refs: The following identity file(s) were not found: /root/.ssh/yard_key", ""), "git_auth", ops, []string{"/root/.ssh/yard_key", "slip"}, ""},
		{"no absolute path", chunk(git, "target 'rel/ative' is not an absolute path", ""), "recipe_error", ops, []string{"rel/ative"}, ""},
		{"no such protocol", chunk("git_|-hull_|-gopher://x/y.git_|-latest", "Failed to check remote refs: git: 'remote-gopher' is not a git command. See 'git --help'.", ""), "repo_not_found", ops, []string{"gopher"}, ""},
		{"no folder for the checkout", chunk(git, "Clone failed: fatal: could not create leading directories of '/proc/yard/y': No such file or directory", ""), "path_missing", ops, []string{"/proc/yard/y", "slip"}, ""},
		{"no right to the folder", chunk(git, "Clone failed: fatal: could not create work tree dir '/opt/yard': Permission denied", ""), "permission_denied", ops, []string{"/opt/yard"}, ""},
		{"no repository at a path", chunk("git_|-c_|-user.name_|-config_set", "An exception occurred in this state: Traceback (most recent call last):\n  File \"x.py\", line 1, in y\nsalt.exceptions.CommandExecutionError: Specified cwd '/srv/yard/none' either not absolute or does not exist\n", ""), "workdir_missing", ops, []string{"/srv/yard/none"}, ""},

		{"none of several sources", chunk(file, "Unable to manage file: none of the specified sources were found", ""), "source_missing", ops, []string{"/srv/yard/a.conf", "none of its sources exists"}, ""},
		{"a folder where the file goes", chunk(file, "Specified target /srv/yard/a.conf is a directory", ""), "path_missing", ops, []string{"/srv/yard/a.conf", "something else"}, ""},
		{"no folder for a link", chunk("file_|-l_|-/srv/no/link_|-symlink", "Directory /srv/no for symlink is not present", ""), "path_missing", ops, []string{`"/srv/no" does not exist`}, ""},
		{"what must not be", chunk("file_|-l_|-/srv/lock_|-missing", "Specified path /srv/lock exists", ""), "path_missing", ops, []string{"/srv/lock", "must not be"}, ""},
		{"no serializer", chunk(file, "The toml2 serializer could not be found. It either does not exist or its prerequisites are not installed.", ""), "recipe_error", ops, []string{"toml2"}, ""},
		{"no file of keys", chunk("file_|-k_|-/srv/a.kv_|-keyvalue", "unable to open /srv/a.kv", ""), "path_missing", ops, []string{"/srv/a.kv"}, ""},
		{"no folder of an ini", chunk("ini_|-i_|-/srv/no/x.ini_|-options_present", "An exception occurred in this state: Traceback (most recent call last):\n  File \"x.py\", line 1, in y\nsalt.exceptions.CommandExecutionError: Unable to write file '/srv/no/x.ini'. Exception: [Errno 2] No such file or directory: '/srv/no/x.ini'\n", ""), "path_missing", ops, []string{"/srv/no/x.ini"}, ""},
		{"no mount point", chunk("mount_|-m_|-/srv/disk_|-mounted", "Mount directory is not present", ""), "path_missing", ops, []string{"/srv/disk"}, ""},

		{"no archive", chunk(archive, strings.ReplaceAll(cannotList, "%s", "/srv/dl/crane.tgz"), ""), "archive_failed", ops, []string{"/srv/dl/crane.tgz", "no archive that the server can read"}, ""},
		{"no archive, from a port", chunk(archive, strings.ReplaceAll(cannotList, "%s", "/var/cache/salt/minion/extrn_files/base/10.0.0.98080/dl/crane.tgz"), ""), "archive_failed", ops, []string{`"dl/crane.tgz"`}, "98080"},
		{"archive of ops' missing", chunk(archive, "Failed to cache salt://hold/crane.tgz, check server log for more information", ""), "archive_failed", ops, []string{"hold/crane.tgz", "does not exist"}, ""},
		{"no such kind of archive", chunk(archive, "Invalid archive_format 'rarx'. Either set it to a supported value (tar, rar, zip) or remove this argument and the archive format will be guessed based on file extension.", ""), "recipe_error", ops, []string{"rarx"}, ""},
		{"archive over a file", chunk(archive, "/srv/yard/crane exists and is not a directory", ""), "path_missing", ops, []string{"/srv/yard/crane"}, ""},

		{"groups", chunk("user_|-u_|-bosun_|-present", "The following group(s) are not present: riggers,menders", ""), "account_setup_failed", ops, []string{"bosun", `groups "riggers, menders"`}, ""},
		{"number of an account", chunk("user_|-u_|-bosun_|-present", "Encountered error checking for needed changes. Additional info follows:\n\n- Changing uid (0 -> 77) not permitted, set allow_uid_change to True to force this change.", ""), "account_setup_failed", ops, []string{"Changing uid"}, "follows"},
		{"no pip", chunk("pip_|-p_|-quayside_|-installed", "Error installing 'quayside': Could not find a `pip` binary", ""), "python_dependency", ops, []string{"pip", "not on the server"}, ""},
		{"a command that could not be started", chunk("module_|-m_|-cmd.run_all_|-run", "An exception occurred in this state: Traceback (most recent call last):\n  File \"x.py\", line 1, in y\nsalt.exceptions.CommandExecutionError: Unable to run command '['tide', '3']' with the context '{'cwd': '/root', 'shell': False, 'stdout': -1, 'stderr': -1, 'with_communicate': True, 'timeout': None, 'bg': False, 'close_fds': True}', reason: [Errno 2] No such file or directory: 'tide'\n", ""), "salt_exception", ops, []string{"No such file or directory: 'tide'"}, "with_communicate"},
		{"no stateful output", chunk("cmd_|-st_|-echo ok_|-run", "Failed parsing script output! Stdout must be JSON or a line of name=value pairs.", printed(0, "ok", "")), "recipe_error", ops, []string{"echo ok", "name=value"}, ""},
		{"the manual", "\nPassed invalid arguments: Pillar data must be formatted as a dictionary, unless pillar_enc is specified..\n\nUsage:\n\n    salt '*' state.apply stuff pillar='{\"foo\": \"bar\"}'\n", "settings_error", ops, []string{"dictionary"}, ""},
		{"a call that failed", `{"local":["Rendering SLS 'base:dock' failed: Problem running salt function in Jinja template: Unable to run command '['tide']'; line 1\n\n---\nx"]}`, "recipe_error", ops, []string{"dock", "Unable to run command"}, "salt function"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := Any([]byte(tt.in), nil, 2)
			if len(d.Causes) != 1 {
				t.Fatalf("%+v", d)
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
			if tt.not != "" && strings.Contains(c.Sentence, tt.not) {
				t.Errorf("%q tells %q", c.Sentence, tt.not)
			}
			for _, m := range wellSaid(c) {
				t.Error(m)
			}
		})
	}
}

// TestFoldsOnlyTheSame: two troubles of one account are two causes.
func TestFoldsOnlyTheSame(t *testing.T) {
	t.Parallel()
	d := Any([]byte(`{"local":{
"user_|-a_|-bosun_|-present":{"name":"bosun","result":false,"comment":"Changing uid (0 -> 77) not permitted","changes":{},"__sls__":"app","__id__":"a","__run_num__":1},
"user_|-b_|-bosun_|-absent":{"name":"bosun","result":false,"comment":"Failed to remove user bosun","changes":{},"__sls__":"app","__id__":"b","__run_num__":2}}}`), nil, 2)
	if len(d.Causes) != 2 {
		t.Errorf("%+v", d.Causes)
	}
}

// TestEmptyForm: a result without a step says why, where standard error knows.
func TestEmptyForm(t *testing.T) {
	t.Parallel()
	d := Any([]byte(`{"local": {}}`), []byte("[ERROR   ] The renderer \"jinjaa\" is not available\n"), 2)
	if len(d.Causes) != 1 || !strings.Contains(d.Causes[0].Sentence, `"jinjaa"`) || d.Causes[0].Code != "recipe_error" {
		t.Errorf("%+v", d)
	}
}
