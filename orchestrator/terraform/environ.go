package terraform

import (
	"os"
	"slices"

	"github.com/berth-dev/berth/orchestrator"
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
// target names.
func environ(names []string, lookup func(string) (string, bool), cache string) (map[string]string, error) {
	env := map[string]string{}
	for _, name := range slices.Concat(passed, names) {
		if v, ok := lookup(name); ok {
			env[name] = v
		}
	}
	if bad := tfexec.ProhibitedEnv(env); len(bad) > 0 {
		return nil, orchestrator.Errorf(orchestrator.CodeInvalidCatalog, "The target passes on %s, which Berth sets itself.", bad[0]).
			WithHint("Take it out of the target's environment; values for a module go into its variables.")
	}
	if _, ok := env["TF_PLUGIN_CACHE_DIR"]; !ok && cache != "" {
		env["TF_PLUGIN_CACHE_DIR"] = cache
	}
	env["CHECKPOINT_DISABLE"] = "1"
	return env, nil
}

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
