package terraform

import (
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/lazyregexp"
	"github.com/hashicorp/terraform-exec/tfexec"
)

// passed are the variables that Terraform may always see: where programs,
// settings and temporary files are, and the way out of the house. None of them
// is a secret of Berth's.
var passed = []string{
	"PATH", "HOME", "TMPDIR", "TF_CLI_CONFIG_FILE", "TF_PLUGIN_CACHE_DIR",
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
	"SSL_CERT_FILE", "SSL_CERT_DIR",
}

// environ is all that Terraform gets: the variables above and those that the
// target and the place of the state name.
func environ(names []string, lookup func(string) (string, bool), cache string) (map[string]string, error) {
	env := map[string]string{}
	for _, name := range slices.Concat(passed, names) {
		if v, ok := lookup(name); ok {
			env[name] = v
		}
	}
	if bad := tfexec.ProhibitedEnv(env); len(bad) > 0 {
		return nil, orchestrator.Errorf(orchestrator.CodeInvalidCatalog, "The target passes on %s, which Berth sets itself.", bad[0]).
			WithHint("Take it out of the target's or the state's environment; values for a module go into its variables.")
	}
	if _, ok := env["TF_PLUGIN_CACHE_DIR"]; !ok && cache != "" {
		env["TF_PLUGIN_CACHE_DIR"] = cache
	}
	if path := env["TF_CLI_CONFIG_FILE"]; path != "" {
		if _, err := os.Stat(path); err != nil {
			// Terraform warns of it and goes on without; OpenTofu's warning
			// stands where its answer should.
			delete(env, "TF_CLI_CONFIG_FILE")
		}
	}
	env["CHECKPOINT_DISABLE"] = "1"
	return env, nil
}

// secretName is the name of a variable whose value is a secret.
var secretName = lazyregexp.New(`(?i)secret|token|pass|key|conn_str|credential|auth`)

// secretsOf are the values in an environment that must be seen nowhere: of
// variables with such a name, and passwords in addresses.
func secretsOf(names []string, env map[string]string) []string {
	var out []string
	for _, name := range names {
		v := env[name]
		if len(v) >= shortest && secretName.MatchString(name) && !isPath(name, v) {
			out = append(out, v)
		}
		if u, err := url.Parse(v); err == nil && u.Scheme != "" {
			if password, ok := u.User.Password(); ok && len(password) >= shortest {
				out = append(out, password, url.QueryEscape(password))
			}
		}
		for _, m := range loginIn.FindAllStringSubmatch(v, -1) { // also of an address that is none
			if len(m[1]) >= shortest {
				out = append(out, m[1])
			}
		}
		for _, m := range passwordWord.FindAllStringSubmatch(v, -1) {
			if p := strings.Trim(m[1], "'"); len(p) >= shortest {
				out = append(out, p)
			}
		}
	}
	return out
}

// pathName is the name of a variable whose value is a file's name.
var pathName = lazyregexp.New(`(?i)_(file|path|dir)$|^GOOGLE_APPLICATION_CREDENTIALS$`)

// isPath says that a value is a file's name, which is no secret; a secret may
// begin with a slash as well.
func isPath(name, v string) bool {
	if !filepath.IsAbs(v) {
		return false
	}
	_, err := os.Lstat(v)
	return err == nil || pathName.MatchString(name)
}

// loginIn is a password in an address, as it stands there.
var loginIn = lazyregexp.New(`://[^\s/:@]*:(\S+)@`)

// passwordWord is a password in PostgreSQL's connection strings of words.
var passwordWord = lazyregexp.New(`(?i)\bpassword\s*=\s*('[^']*'|[^\s&]+)`)

// makeCache makes the plugin cache: Terraform refuses to do anything when the
// folder that it is told of is not there.
func makeCache(env map[string]string) error {
	if dir := env["TF_PLUGIN_CACHE_DIR"]; dir != "" {
		return os.MkdirAll(dir, 0o700)
	}
	return nil
}

func environList(env map[string]string) []string {
	out := make([]string, 0, len(env))
	for k, v := range env {
		out = append(out, k+"="+v)
	}
	slices.Sort(out)
	return out
}
