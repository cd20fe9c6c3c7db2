package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"

	"github.com/berth-dev/berth/bot/client"
	"github.com/berth-dev/berth/bot/console"
	"github.com/berth-dev/berth/bot/slack"
	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/agent"
	"github.com/berth-dev/berth/orchestrator/branch"
	"github.com/berth-dev/berth/orchestrator/catalog"
	"github.com/berth-dev/berth/orchestrator/diagnose"
	"github.com/berth-dev/berth/orchestrator/render"
	"github.com/berth-dev/berth/orchestrator/store"
	"github.com/berth-dev/berth/orchestrator/terraform"
)

// check is one line of berth doctor: what was found, or what is wrong and the
// next step.
type check struct {
	Name  string `json:"name"`
	OK    bool   `json:"ok"`
	Found string `json:"found"`
	Next  string `json:"next,omitempty"`
}

func newDoctorCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "doctor", Short: "Check everything that Berth needs; each line says what to do",
		Long: `Check everything that berth serve needs on this machine: the catalog, Terraform,
Salt, git, GitHub, Slack, the data folder, the database, serve itself, its
own certificate authority, the agents that it gives machines, and whether Berth
can sign in at the cloud of each target. Each line that fails says what to do;
then the exit status is 1. Nothing is changed; where the catalog has a block
state, an empty one is written to its place and removed.
It looks at the environment that it is started with: give it serve's.`,
		Example: "  berth doctor\n  berth doctor --catalog ops/berth.hcl --json", Args: needWords(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			path, _ := cmd.Flags().GetString("catalog")
			if e := os.Getenv("BERTH_CATALOG"); e != "" && !cmd.Flags().Changed("catalog") {
				path = e
			}
			database, _ := cmd.Flags().GetString("database")
			if e := os.Getenv("BERTH_DATABASE_URL"); e != "" && !cmd.Flags().Changed("database") {
				database = e
			}
			checks := examine(cmd.Context(), path, dataFolder(cmd), database)
			if asked, _ := cmd.Flags().GetBool("json"); asked {
				writeJSON(cmd.OutOrStdout(), checks)
			} else {
				printChecks(console.New(cmd.OutOrStdout(), cmd.ErrOrStderr()), checks)
			}
			for _, k := range checks {
				if !k.OK {
					return errSilent{1}
				}
			}
			return nil
		},
	}
	c.Flags().String("catalog", "berth.hcl", "the catalog (BERTH_CATALOG)")
	c.Flags().String("database", "", "sqlite:PATH (BERTH_DATABASE_URL; default: berth.db in the data folder)")
	c.Flags().Bool("json", false, "print JSON")
	return c
}

func printChecks(c *console.Console, checks []check) {
	for _, k := range checks {
		mark, color := "ok  ", text.FgGreen
		if !k.OK {
			mark, color = "FAIL", text.FgRed
		}
		if c.Color {
			mark = color.Sprint(mark)
		}
		fmt.Fprintf(c.Out, "%s  %-10s %s\n", mark, k.Name, console.Clean(k.Found))
		if k.Next != "" {
			fmt.Fprintf(c.Out, "      %-10s → %s\n", "", console.Clean(k.Next))
		}
	}
}

func examine(ctx context.Context, catalogPath, data, database string) []check {
	var constraint string
	checks := []check{}
	add := func(name, found string, err error, next string) {
		k := check{Name: name, OK: err == nil, Found: found}
		if err != nil {
			k.Found, k.Next = err.Error(), next
			var e *orchestrator.Error
			if errors.As(err, &e) && e.Hint != "" {
				k.Next = e.Hint
			}
		}
		checks = append(checks, k)
	}
	c, err := catalog.Load(catalogPath)
	validate := "berth validate"
	if catalogPath != "berth.hcl" {
		validate += " --catalog " + forShellText(catalogPath)
	}
	add("catalog", catalogPath+" is good", err, "mend the line that it names, then: "+validate)
	if err == nil {
		constraint = c.Terraform
	}
	find, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	b, err := terraform.Find(find, terraform.FindOptions{Path: os.Getenv("BERTH_TERRAFORM"), Data: data, Constraint: constraint, Offline: true})
	add("terraform", fmt.Sprintf("%s %s (%s)", b.Name(), b.Version, b.Path), err, "install Terraform 1.5.7 or later, or name it with BERTH_TERRAFORM; serve can also fetch one by itself")
	if c != nil && !c.State.Local() {
		checks = append(checks, stateChecks(ctx, c, data)...)
	}
	salt, err := saltFor(ctx, c)
	add("salt", salt, err, "install Salt: make salt in a checkout of Berth, then set BERTH_SALT_CALL to .berth/salt/bin/salt-call there")
	git, err := toolVersion(ctx, "git", "", "--version")
	add("git", git, err, "install it with your package manager, such as: apt-get install -y git")
	checks = append(checks, gitHub(ctx, c))
	checks = append(checks, ownCode(ctx, c)...)
	checks = append(checks, inSlack(ctx)...)
	add("data", data+" can be written", writable(data), "give the user that runs Berth the right to write there, or choose another folder with --data")
	path, err := databasePath(serveOptions{Database: database, Data: data})
	if err == nil {
		err = store.Check(ctx, path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		add("database", path+" is not there yet: serve makes it", nil, "")
	} else {
		add("database", path+" is whole", err, "look at the file, or choose another with --database")
	}
	serve := connect(data)
	if _, err := serve.Names(ctx); err != nil {
		add("serve", "", err, "")
		checks[len(checks)-1].Next = "start it: berth serve --catalog " + forShellText(catalogPath)
		if os.Getenv("BERTH_URL") != "" {
			checks[len(checks)-1].Next = "look at BERTH_URL and BERTH_TOKEN, or unset them to use the serve on this machine"
		}
	} else {
		add("serve", "answers at "+serve.Where(), nil, "")
		checks = append(checks, strange(ctx, serve, c)...)
	}
	authority, err := ownAuthorityLine(data, now())
	add("tls", authority, err, "")
	agents, err := agentBinaries(data)
	var found string
	if err == nil {
		found, err = agents.describe()
	}
	add("agents", found, err, "build it anew with make agents, and put it where that file is")
	if c != nil && checks[1].OK { // Terraform
		checks = append(checks, targets(ctx, c, data)...)
	}
	return checks
}

// strange names the environments whose target the catalog does not have any
// more. c may be nil.
func strange(ctx context.Context, from *client.Client, c *orchestrator.Catalog) []check {
	if c == nil {
		return nil
	}
	rows, err := from.Rows(ctx, "env list")
	if err != nil {
		return []check{{Name: "serve", Found: "its environments could not be listed: " + err.Error(), Next: "look at its log"}}
	}
	var all []orchestrator.Environment
	for _, r := range rows {
		all = append(all, orchestrator.Environment{Name: r.Name, Target: r.Target})
	}
	found := orchestrator.Strange(c, all)
	var out []check
	for _, target := range slices.Sorted(maps.Keys(found)) {
		out = append(out, check{Name: "target " + target,
			Found: "it is no longer in the catalog, and nobody looks at the machines of " + strings.Join(found[target], ", "),
			Next:  "put it back, or end what is on it: berth env destroy NAME"})
	}
	return out
}

// tryWithin is how long one target may take; a provider may have to be fetched.
const tryWithin = 5 * time.Minute

// targets tries the credentials of each target in a cloud, as serve would use
// them. Everything is made in a folder that goes again, but for providers that
// had to be fetched.
func targets(ctx context.Context, c *orchestrator.Catalog, data string) []check {
	var out []check
	for _, t := range c.Targets {
		if t.Module == "local" {
			continue
		}
		out = append(out, tryTarget(ctx, c, t, data))
	}
	return out
}

func tryTarget(ctx context.Context, c *orchestrator.Catalog, t orchestrator.Target, data string) check {
	k := check{Name: "target " + t.Name}
	var missing []string
	for _, name := range t.Environment {
		if os.Getenv(name) == "" {
			missing = append(missing, name)
		}
	}
	unset := ""
	if len(missing) > 0 {
		unset = strings.Join(missing, ", ") + " not set"
	}
	err := signIn(ctx, c, t, data)
	var p *orchestrator.ProvisionError
	switch {
	case err == nil:
		if k.OK, k.Found = true, "its cloud answers"; unset != "" {
			k.Found += " (" + unset + ")"
		}
	case errors.As(err, &p):
		cause := orchestrator.Cause{Sentence: p.Error()}
		if d := (diagnose.Diagnoser{}).Terraform(p.Log); len(d.Causes) > 0 {
			cause = d.Causes[0]
		}
		k.Found, k.Next = cause.Sentence, nextStep(cause, t, missing)+", then: berth doctor"
		if unset != "" && cause.Code != "credentials_invalid" {
			k.Found += " (" + unset + ")"
		}
	default:
		k.Found, k.Next = err.Error(), "look at the target in the catalog"
		var e *orchestrator.Error
		if errors.As(err, &e) && e.Hint != "" {
			k.Next = e.Hint
		}
	}
	return k
}

// nextStep is what ops do about a cause that the diagnosis tells developers.
func nextStep(cause orchestrator.Cause, t orchestrator.Target, missing []string) string {
	step, known := strings.CutPrefix(cause.Next, "Ask ops to ")
	step, _, _ = strings.Cut(step, "; after that:")
	switch {
	case cause.Code == "credentials_invalid":
		if !known {
			step = "correct Berth's credentials for the cloud"
		}
		set := slices.DeleteFunc(slices.Clone(t.Environment), func(name string) bool { return slices.Contains(missing, name) })
		switch there := strings.Join(set, ", "); {
		case len(missing) > 0 && there != "":
			return "set in serve's environment what the target names: " + strings.Join(missing, ", ") + "; and look whether what is there is right: " + there
		case len(missing) > 0:
			return "set in serve's environment what the target names: " + strings.Join(missing, ", ")
		case there != "":
			return step + ", in serve's environment: " + there
		}
		return step + ", or name in the target's environment the variables that hold them"
	case cause.Code == "provider_missing":
		return "let this machine reach the provider's registry, or name a mirror in TF_CLI_CONFIG_FILE"
	case cause.Code == "permission_missing":
		return "give Berth's account at the cloud what the page of its cloud lists"
	case cause.Code == "cloud_unreachable":
		return "look at this machine's way to the cloud (network, proxy), and at the region and addresses that the target sets"
	case known:
		return step
	case cause.Who == "retry":
		return "wait a moment"
	}
	return "look at the target in the catalog and at what the page of its cloud asks for"
}

func signIn(ctx context.Context, c *orchestrator.Catalog, t orchestrator.Target, data string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, tryWithin, fmt.Errorf("it did not answer within %s", orchestrator.Duration(tryWithin)))
	defer cancel()
	dir, err := os.MkdirTemp("", "berth-doctor-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if _, err := os.Stat(data); err != nil {
		data = dir // serve has not made it yet
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding Berth's own program: %w", err)
	}
	return terraform.New(terraform.Options{Workspaces: dir, Data: data, Berth: self,
		Find:       terraform.FindOptions{Path: os.Getenv("BERTH_TERRAFORM"), Data: data, Offline: true},
		Constraint: func() string { return c.Terraform },
		Render: func(dir string, w orchestrator.Workspace) error {
			return render.Write(dir, w, render.Options{CatalogDir: c.Dir})
		}}).Try(ctx, t)
}

// ownAuthorityLine says what is known of Berth's own certificate authority.
func ownAuthorityLine(data string, at time.Time) (string, error) {
	path := authorityPath(data)
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		return "Berth's own authority is not made yet: serve makes it when it listens beyond this machine without --tls-cert", nil
	}
	cert, _, err := readOwnAuthority(data)
	if err != nil {
		return "", err
	}
	a := &authority{cert: cert, path: path, now: func() time.Time { return at }}
	return fmt.Sprintf("%s, Berth's own authority, holds until %s", path, cert.NotAfter.Format(time.DateOnly)), a.ended()
}

// saltFor finds Salt. Only servers on this machine run this one: a cloud's
// machines bring their own.
func saltFor(ctx context.Context, c *orchestrator.Catalog) (string, error) {
	path, found := agent.FindSaltCall(os.Getenv("BERTH_SALT_CALL"))
	if !found && c != nil && !slices.ContainsFunc(c.Targets, func(t orchestrator.Target) bool { return t.Module == "local" }) {
		return "not on this machine, where no target has servers; without it, berth validate cannot try recipes", nil
	}
	return toolVersion(ctx, "salt-call", path, "--version")
}

func toolVersion(ctx context.Context, name, path, flag string) (string, error) {
	if path == "" {
		found, err := exec.LookPath(name)
		if err != nil {
			return "", fmt.Errorf("there is no %s on the PATH", name)
		}
		path = found
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, flag).Output()
	if err != nil {
		return "", fmt.Errorf("%s does not run: %w", path, err)
	}
	return strings.TrimSpace(string(out)) + " (" + path + ")", nil
}

// stateChecks tries the place of the states, and looks for locks that dead runs
// have left there.
func stateChecks(ctx context.Context, c *orchestrator.Catalog, data string) []check {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	p := terraform.New(terraform.Options{Workspaces: filepath.Join(data, "workspaces"), Data: data, Settle: render.Backend, Place: render.Place,
		Find:       terraform.FindOptions{Path: os.Getenv("BERTH_TERRAFORM"), Data: data, Offline: true},
		Constraint: func() string { return c.Terraform }})
	k := check{Name: "state", OK: true, Found: c.State.Where() + " can be written"}
	state := c.State
	state.Environment = c.StateVariables()
	if err := p.TryState(ctx, state); err != nil {
		k.OK, k.Found, k.Next = false, c.State.Where()+" cannot be written: "+err.Error(), "look at the block state in the catalog and at the place itself"
		var lacks []string
		for _, name := range state.Environment {
			if os.Getenv(name) == "" {
				lacks = append(lacks, name)
			}
		}
		if len(lacks) > 0 {
			k.Next = "not set, though the catalog names it: " + strings.Join(lacks, ", ") + "; doctor and serve need it"
		}
		return []check{k}
	}
	out := []check{k}
	left, err := p.LeftLocks(ctx)
	if err != nil {
		return out // its own checks say what is wrong with the folder
	}
	for _, id := range slices.Sorted(maps.Keys(left)) {
		out = append(out, check{Name: "state", Found: "the state of " + id + " is " + left[id].String(), Next: "break it: berth state unlock " + id})
	}
	return out
}

// writable tries the data folder, or the one that serve would make it in,
// without making it.
func writable(dir string) error {
	at := dir
	for {
		info, err := os.Stat(at)
		switch {
		case err == nil && !info.IsDir():
			return orchestrator.Errorf(orchestrator.CodeState, "%s is no folder.", at).WithHint("choose another folder with --data")
		case err == nil:
			f, err := os.CreateTemp(at, ".doctor-*")
			if err != nil {
				return dataError(dir, err)
			}
			return errors.Join(f.Close(), os.Remove(f.Name()))
		case !errors.Is(err, fs.ErrNotExist) || at == filepath.Dir(at):
			return dataError(dir, err)
		}
		at = filepath.Dir(at)
	}
}

// gitHub asks GitHub who Berth is, when an app of the catalog lives there.
func gitHub(ctx context.Context, c *orchestrator.Catalog) check {
	api := os.Getenv("BERTH_GITHUB_API_URL")
	used := api != ""
	if c != nil {
		for _, a := range c.Apps {
			used = used || strings.Contains(a.Repository, "github.com")
		}
	}
	if !used {
		return check{Name: "github", OK: true, Found: "not used: no app of the catalog lives there"}
	}
	if api == "" {
		api = "https://api.github.com"
	}
	if c != nil && os.Getenv("BERTH_GITHUB_TOKEN") == "" && os.Getenv("BERTH_GITHUB_APP_ID") != "" {
		return gitHubApp(ctx, c)
	}
	k := check{Name: "github", Next: "set BERTH_GITHUB_TOKEN to a token that may read the catalog's repositories"}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(api, "/")+"/rate_limit", nil)
	if err != nil {
		k.Found, k.Next = "BERTH_GITHUB_API_URL is no address: "+api, "set it to something like https://ghe.example.com/api/v3"
		return k
	}
	if token := os.Getenv("BERTH_GITHUB_TOKEN"); token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		k.Found, k.Next = "GitHub is out of reach: "+api, "look at the network, or at BERTH_GITHUB_API_URL"
		return k
	}
	defer res.Body.Close()
	switch {
	case res.StatusCode == http.StatusUnauthorized:
		k.Found = "GitHub does not accept BERTH_GITHUB_TOKEN"
	case res.StatusCode >= 500:
		k.Found, k.Next = "GitHub has trouble ("+res.Status+")", "try again later"
	default:
		k.OK, k.Found, k.Next = true, api+" answers", ""
		if os.Getenv("BERTH_GITHUB_TOKEN") == "" {
			k.Found += ", without a token: 60 requests an hour and public repositories only"
		}
	}
	return k
}

func checkerOfEnvironment() *branch.Checker {
	return branch.New(branch.Options{GitHubAPIURL: os.Getenv("BERTH_GITHUB_API_URL"), Token: os.Getenv("BERTH_GITHUB_TOKEN"),
		AppID: os.Getenv("BERTH_GITHUB_APP_ID"), AppKeyFile: os.Getenv("BERTH_GITHUB_APP_KEY_FILE")})
}

// gitHubApp asks for what each server will be given: a token to read the contents
// of its repository.
func gitHubApp(ctx context.Context, c *orchestrator.Catalog) check {
	checker, read := checkerOfEnvironment(), 0
	var failed []error
	for _, a := range c.Apps {
		if a.Credential != nil {
			continue
		}
		for _, repository := range append([]string{a.Repository}, a.Submodules...) {
			switch login, err := checker.Login(ctx, a, repository, ""); {
			case err != nil:
				failed = append(failed, err)
			case login != nil:
				read++
			}
		}
	}
	if len(failed) == 0 {
		return check{Name: "github", OK: true, Found: fmt.Sprintf("the GitHub App may read the contents of the catalog's %d repositories there", read)}
	}
	k := check{Name: "github", Found: failed[0].Error(), Next: "look at the GitHub App, its permissions and where it is installed"}
	var e *orchestrator.Error
	if errors.As(failed[0], &e) && e.Hint != "" {
		k.Next = strings.TrimPrefix(e.Hint, "ops: ")
	}
	if more := len(failed) - 1; more > 0 {
		k.Found += fmt.Sprintf(" And %d more repositories.", more)
	}
	return k
}

// ownCode reads the branches of the apps that have a credential of their own.
func ownCode(ctx context.Context, c *orchestrator.Catalog) []check {
	if c == nil {
		return nil
	}
	var out []check
	checker := checkerOfEnvironment()
	for _, a := range c.Apps {
		if a.Credential == nil {
			continue
		}
		k := check{Name: "code", OK: true, Found: fmt.Sprintf("the credential %s reads the code of app %s", a.Credential.Name, a.Name)}
		_, err := checker.Login(ctx, a, a.Repository, "")
		if err == nil {
			_, err = checker.Resolve(ctx, a, "")
		}
		if err != nil {
			k.OK, k.Found, k.Next = false, err.Error(), "look at the credential "+a.Credential.Name+" of the catalog"
			var e *orchestrator.Error
			if errors.As(err, &e) && e.Hint != "" {
				k.Next = strings.TrimPrefix(e.Hint, "ops: ")
			}
		}
		out = append(out, k)
	}
	return out
}

// inSlack tries how Slack is configured.
func inSlack(ctx context.Context) []check {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	var out []check
	for _, k := range slack.Examine(ctx, slack.ExamineOptions{
		BotToken: os.Getenv("BERTH_SLACK_BOT_TOKEN"), AppToken: os.Getenv("BERTH_SLACK_APP_TOKEN"), SigningSecret: os.Getenv("BERTH_SLACK_SIGNING_SECRET"),
		APIURL: os.Getenv("BERTH_SLACK_API_URL"), PublicURL: os.Getenv("BERTH_PUBLIC_URL"), OpsChannel: os.Getenv("BERTH_SLACK_OPS_CHANNEL"),
	}) {
		out = append(out, check(k))
	}
	return out
}

// workspaceDir is an environment's Terraform workspace in a data folder.
func workspaceDir(data, environmentID string) string {
	return filepath.Join(data, "workspaces", environmentID)
}
