package diagnose

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/berth-dev/berth/orchestrator"
)

// kind is a code and what it means.
type kind struct{ code, means string }

// kinds are all codes of causes, in groups, as docs/failures.md lists them. A
// record with a new code needs its line here.
var kinds = []struct {
	title string
	kinds []kind
}{
	{"The code and its branch", []kind{
		{"branch_not_found", "The branch or tag that was asked for is not in the repository."},
		{"revision_not_found", "The commit that was asked for is not in the repository any more."},
		{"repo_not_found", "There is no repository at this address, or the server may not see it."},
		{"git_auth", "The git host refused the key or password with which the server reads the repository."},
		{"git_host_unknown", "The server does not trust the git host's key or certificate."},
		{"git_unreachable", "The server could not reach the git host."},
		{"git_diverged", "The checkout on the server has changes of its own, or the branch was rewritten."},
		{"git_target_occupied", "Something else lies where the checkout should go."},
		{"submodule_failed", "A submodule of the repository could not be fetched."},
	}},
	{"Building and starting the app", []kind{
		{"command_failed", "A command of the build or of the set-up ended with an error; its most telling line is quoted."},
		{"command_timeout", "A command took longer than it may."},
		{"python_dependency", "A Python package could not be installed."},
		{"node_dependency", "An npm or yarn package could not be installed."},
		{"health_failed", "The app was set up and started, and is not well: its health path or port does not answer, or it ended."},
		{"dependency_unreachable", "The app was started and does not reach a database or another service that it needs."},
		{"port_in_use", "Another program listens on the port that is needed."},
		{"out_of_memory", "Something used more memory than the server has."},
		{"disk_full", "A disk is full."},
		{"image_not_found", "A container image, or the system image that machines start from, does not exist."},
	}},
	{"The server", []kind{
		{"package_not_found", "A package is not in the server's package sources."},
		{"package_busy", "Another installation was running on the server."},
		{"package_mirror_unreachable", "The server could not reach its package sources."},
		{"package_install_failed", "A package was found and could not be installed."},
		{"service_unknown", "The server has no such service."},
		{"service_failed", "A service does not start or stay up."},
		{"source_missing", "A file that should be put on the server is not where it is fetched from."},
		{"template_value_missing", "A file needs a value that nobody has set, or has an error in it."},
		{"checksum_mismatch", "A download is not the file that was expected."},
		{"archive_failed", "An archive is missing, damaged or of a kind that the server cannot unpack."},
		{"path_missing", "A file or folder that is needed is not there, or something else is in its place."},
		{"workdir_missing", "The folder that a command should run in does not exist."},
		{"user_missing", "A user or group that is needed is not on the server."},
		{"account_setup_failed", "A user or group could not be made or changed."},
		{"permission_denied", "Something on the server may not be read, written or run."},
	}},
	{"Recipes and settings, which are ops'", []kind{
		{"recipe_error", "A recipe has an error, or uses something in a way in which it cannot be used."},
		{"recipe_missing", "A recipe that is named does not exist."},
		{"recipe_conflict", "Two recipes, or two parts of one, say different things about the same name."},
		{"requisite_missing", "A recipe waits on a step that no recipe has."},
		{"requisite_cycle", "Steps of a recipe wait on each other in a circle."},
		{"state_module_missing", "The Salt on the server does not have what a recipe uses."},
		{"settings_error", "Settings of the app or of the server are missing or cannot be read."},
		{"no_role", "Nothing says what this server should be."},
		{"salt_busy", "The server is still busy with an earlier set-up."},
		{"salt_missing", "Salt, which sets servers up, is not installed on the server."},
		{"salt_exception", "Salt broke off, or said something that Berth does not know; it is quoted."},
		{"unreadable", "It is not known what the set-up did: it was killed, cut off or gave no result."},
	}},
	{"Machines and the cloud", []kind{
		{"credentials_invalid", "The cloud refused Berth's credentials."},
		{"permission_missing", "Berth's account at the cloud may not do what is needed."},
		{"quota_exceeded", "A limit of the cloud account is reached."},
		{"capacity", "The cloud has no free machine of this size at that place just now."},
		{"size_unknown", "The cloud does not know the size that the catalog names."},
		{"network_missing", "A network, firewall or place that the machines need does not exist at the cloud."},
		{"cloud_resource_missing", "A key, a profile or something else that the machines use does not exist at the cloud."},
		{"delete_protected", "Something at the cloud is protected from being removed."},
		{"still_in_use", "Something at the cloud can't be removed because something else uses it."},
		{"changed_outside", "Somebody changed or removed at the cloud what Berth made."},
		{"name_taken", "Something of the same name is at the cloud already."},
		{"rate_limited", "The cloud gets too many requests from this account."},
		{"cloud_unreachable", "The cloud, or something else on the network, could not be reached."},
		{"provider_missing", "A plug-in of Terraform that the machines need could not be had."},
		{"module_invalid", "The files that describe the machines, or their start-up data, have an error."},
		{"variable_missing", "The files that describe the machines need a value that nobody has set."},
		{"state_locked", "Another run holds the record of these machines."},
		{"state_corrupt", "The record of these machines is damaged, or a newer version wrote it."},
		{"state_unreachable", "The record of these machines could not be read or saved."},
		{"start_data_missing", "A new machine found no start-up data, or did not run it."},
		{"download_refused", "What a new machine has to download was refused to it."},
		{"clock_wrong", "A new machine's clock is wrong, so that it trusts nothing and nobody trusts it."},
		{"enrolment_refused", "Berth did not let a new machine in."},
		{"half_made", "Some servers of a set were made and others not; what is there is kept."},
		{"left_over", "A destroy has failed, and something is still there."},
		{"machine_gone", "The machine of a server was removed outside Berth."},
		{"machine_stopped", "The machine of a server was stopped outside Berth."},
		{"unreconciled", "Work on machines was killed, and the target's module cannot list what it had made."},
		{"timeout", "Something took longer than it may, or a server has not been heard of."},
		{"interrupted", "Somebody stopped the work."},
		{"killed", "The work was ended from outside before it was done."},
		{"unknown", "It failed with a message that Berth does not know; it is quoted."},
	}},
}

// row is one line of the reference: an example of a cause.
type row struct{ who, sentence, next string }

// Reference is docs/failures.md: every cause with an example, made from the
// tables that diagnoses are made from. More are examples of causes that others
// make.
func Reference(more []orchestrator.Cause) string {
	rows := map[string][]row{}
	add := func(c orchestrator.Cause) {
		r := row{c.Who, c.Sentence, c.Next}
		if !slices.Contains(rows[c.Code], r) {
			rows[c.Code] = append(rows[c.Code], r)
		}
	}
	all := tables()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		for i := range all[name] {
			for _, c := range all[name][i].examples(all[name]) {
				add(c)
			}
		}
	}
	for _, c := range examples() {
		add(c)
	}
	for _, c := range more {
		add(c)
	}

	var b strings.Builder
	b.WriteString(`# Failures

Every cause that Berth knows, with an example of what it says. Made from the tables that the program uses; ` + "`go test . -update`" + ` makes it again.

Each failure is told in one sentence, with who can mend it and what to do next: ` + "`env why NAME`" + `. **developer** is whoever works on the branch. **ops** own the catalog, recipes, settings and servers. **retry** may pass by itself. NAME stands for the environment; … for what depends on the case. A cause that is refused before anything is changed has the code of that refusal.

`)
	for _, group := range kinds {
		fmt.Fprintf(&b, "| %s | |\n|---|---|\n", group.title)
		for _, k := range group.kinds {
			fmt.Fprintf(&b, "| [%s](#%s) | %s |\n", k.code, k.code, k.means)
		}
		b.WriteString("\n")
	}
	for _, group := range kinds {
		for _, k := range group.kinds {
			fmt.Fprintf(&b, "## %s\n\n%s\n\n| Berth says | Who | Next |\n|---|---|---|\n", k.code, k.means)
			for _, r := range rows[k.code] {
				fmt.Fprintf(&b, "| %s | %s | %s |\n", cell(r.sentence), r.who, cell(r.next))
			}
			b.WriteString("\n")
			delete(rows, k.code)
		}
	}
	for _, code := range slices.Sorted(maps.Keys(rows)) {
		fmt.Fprintf(&b, "## %s\n\nTODO: reference.go does not say what this means.\n\n", code)
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

// cell is a text in a table of Markdown.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;", "*", `\*`, "_", `\_`, "`", "\\`", "[", `\[`).Replace(s)
}

// examples are what the record says to its samples; without one, what it says
// to anything.
func (r *record) examples(table []record) []orchestrator.Cause {
	var out []orchestrator.Cause
	for _, s := range r.samples {
		if x, c := s.explain(table); x != nil && x.of == r {
			out = append(out, c)
		}
	}
	if len(out) == 0 && !r.borrowed {
		out = append(out, orchestrator.Cause{Code: r.code, Who: r.who, Sentence: anything(r.sentence), Next: anything(r.next)})
	}
	return out
}

// anything is a template without the values.
func anything(template string) string { return slot.ReplaceAllString(template, "…") }

// examples are causes that no table has: of runs as a whole and of apps.
func examples() []orchestrator.Cause {
	app := orchestrator.App{Name: "shop", Health: "/healthz", Port: 8080, Start: "python3 app.py"}
	port := app
	port.Health = ""
	alive := port
	alive.Port = 0
	const good = `{"local":{"cmd_|-a_|-a_|-run":{"result":true,"comment":"","__sls__":"app","__id__":"a"}}}`
	const gone = `{"local":{"git_|-code_|-git@git.acme.io:shop/shop.git_|-latest":{"name":"git@git.acme.io:shop/shop.git","result":false,"comment":"No revision matching '%s' exists in the remote repository","__sls__":"app","__id__":"code"}}}`
	d := Diagnoser{}
	var out []orchestrator.Cause
	for _, found := range []orchestrator.Diagnosis{
		Salt([]byte(`{"local":{"result":true,"comment":"Job queued for execution","queued":true}}`), nil, 0),
		Salt([]byte(`{"return":[{"shop":false}]}`), nil, 0),
		Salt([]byte(`{"local":{}}`), nil, 2),
		Salt([]byte(`{"local":{"cmd_|-b_|-b_|-run":{"result":false,"comment":"One or more requisite failed: shop.build","__sls__":"shop","__id__":"b","__run_num__":1}}}`), nil, 2),
		Salt(nil, nil, 0),
		Salt(nil, nil, 3),
		Salt([]byte(`{"local":{"cmd_|-a_|-a_|-run":{"result":true,"comment":"","__sls__":"app","__id__":"a"},"cm`), nil, 137),
		Salt(nil, nil, 137),
		Salt([]byte(good), []byte("[ERROR   ] The frobnicator is loose\n"), 1),
		d.Report(app, "feature/x", orchestrator.Report{Exit: 2, Stdout: fmt.Sprintf(gone, "feature/x")}, nil),
		d.Report(app, "feature/x", orchestrator.Report{Exit: 2, Stdout: fmt.Sprintf(gone, strings.Repeat("0123456789", 4))}, nil),
		d.Report(app, "main", orchestrator.Report{Stdout: good, HealthDetail: "it answers 500 Internal Server Error", AppLog: "RuntimeError: no such table: orders"}, nil),
		d.Report(port, "main", orchestrator.Report{Stdout: good, HealthDetail: "connection refused"}, nil),
		d.Report(alive, "main", orchestrator.Report{Stdout: good, HealthDetail: "it ended with exit status 1"}, nil),
		d.Report(app, "main", orchestrator.Report{Later: true, HealthDetail: "it answers 502 Bad Gateway"}, nil),
		d.Report(app, "main", orchestrator.Report{Stdout: good, PortTaken: true, HealthDetail: "port 41001 is taken by another program on this machine (process 7)"}, nil),
		d.Report(app, "main", orchestrator.Report{Problem: "the moon is full"}, nil),
		d.Terraform(""),
	} {
		out = append(out, found.Causes...)
	}
	return out
}
