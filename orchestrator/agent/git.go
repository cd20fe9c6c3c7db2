package agent

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// givenConfig is the git configuration that Berth was given, if any.
func (a *agent) givenConfig() string {
	switch {
	case a.config.GitConfigText != "":
		return a.config.GitConfigText + "\n"
	case a.config.GitConfig != "":
		return fmt.Sprintf("[include]\n\tpath = %s\n", gitQuote(a.config.GitConfig))
	}
	return ""
}

// gitConfig is the global configuration of this server's git: the one that
// Berth was given, if any, leave to read the app's repository when that is
// a folder of another user on this machine, and the mirrors in place of what
// they mirror.
func (a *agent) gitConfig(ctx context.Context, repository string, mirrors []mirror) []byte {
	var b strings.Builder
	b.WriteString(a.givenConfig())
	b.WriteString(inPlace(mirrors))
	if !a.named {
		// A user without an entry in passwd is as good as always this server's
		// own: other users' repositories, and which ones submodules name is not
		// known before, have nothing to take from it.
		b.WriteString("[safe]\n\tdirectory = *\n")
		return []byte(b.String())
	}
	// The configuration may say that the address means another one; git
	// itself knows, and contacts nobody for the answer.
	name := filepath.Join(a.dir, "gitconfig")
	if writeFile(name, []byte(b.String())) == nil {
		if text, err := a.git(ctx, a.dir, "ls-remote", "--get-url", repository); err == nil {
			repository = strings.TrimSuffix(text, "\n")
		}
	}
	// The checkout is the app's user's, not the agent's, where that is root.
	folders := append(localFolders(repository), a.checkout())
	for _, m := range mirrors {
		if m.dir != "" {
			folders = append(folders, m.dir)
		}
	}
	for _, folder := range folders {
		fmt.Fprintf(&b, "[safe]\n\tdirectory = %s\n", gitQuote(folder))
	}
	return []byte(b.String())
}

// localFolders are the folders that git may mean by an address on this
// machine.
func localFolders(address string) []string {
	folder := ""
	if u, err := url.Parse(address); err == nil && u.Scheme == "file" {
		folder = u.Path
	} else if filepath.IsAbs(address) {
		folder = address
	}
	if folder == "" {
		return nil
	}
	folder = filepath.Clean(folder)
	all := []string{folder}
	if real, err := filepath.EvalSymlinks(folder); err == nil && real != folder {
		all = append(all, real)
	}
	for _, f := range all {
		all = append(all, filepath.Join(f, ".git"), f+".git")
	}
	return all
}

// gitQuote writes a value of a git configuration.
func gitQuote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s) + `"`
}

// git runs a quick, local git command in a folder of the agent's.
func (a *agent) git(ctx context.Context, folder string, args ...string) (string, error) {
	return a.gitAs(ctx, nil, folder, args...)
}

// gitAs is git as another user; nil: the agent's.
func (a *agent) gitAs(ctx context.Context, as *syscall.Credential, folder string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = folder
	// The checkout's own configuration is the app's, and could have git fetch
	// what is not there, or look for what has changed, with a command of the
	// app's.
	cmd.Env = append(a.env(), "GIT_ALLOW_PROTOCOL=none", "GIT_CONFIG_COUNT=2", "GIT_CONFIG_KEY_0=core.fsmonitor", "GIT_CONFIG_VALUE_0=",
		"GIT_CONFIG_KEY_1=core.hooksPath", "GIT_CONFIG_VALUE_1="+os.DevNull)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: as}
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	return string(out), err
}

// head is the commit that the checkout stands at; empty for none.
func (a *agent) head(ctx context.Context) string {
	// Never a repository further up: the agent's folder may lie in one.
	if _, err := os.Stat(filepath.Join(a.checkout(), ".git")); err != nil {
		return ""
	}
	out, err := a.gitAs(ctx, a.owner(), a.checkout(), "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
	if commit := strings.TrimSpace(out); err == nil && commitForm.MatchString(commit) {
		return commit
	}
	return ""
}
