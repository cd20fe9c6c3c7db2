package agent

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/berth-dev/berth/orchestrator"
)

// shownDescriptor is where a git that the agent has started, and what it starts
// in turn, find the login: memory without a name, which no other process can
// open by one.
const shownDescriptor = 3

// showLogin puts a login where Credential reads it, and gives the settings by
// which git asks Credential about that repository and about nothing else.
func showLogin(login *orchestrator.Login) (*os.File, [][2]string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	password := *login
	password.Key, password.KnownHosts = "", "" // ssh gets those from elsewhere
	text, err := json.Marshal(password)
	if err != nil {
		return nil, nil, err
	}
	fd, err := unix.MemfdCreate("login", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, nil, err
	}
	f := os.NewFile(uintptr(fd), "login")
	if _, err := f.Write(text); err != nil {
		f.Close()
		return nil, nil, err
	}
	if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_GROW|unix.F_SEAL_SHRINK|unix.F_SEAL_SEAL); err != nil {
		f.Close()
		return nil, nil, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil { // see refusedAt
		f.Close()
		return nil, nil, err
	}
	helper := "!'" + strings.ReplaceAll(self, "'", `'\''`) + "' agent credential"
	// The empty helper takes those of git's own settings out.
	settings := [][2]string{{"credential.helper", ""}}
	if login.Password == "" {
		return f, settings, nil
	}
	settings = append(settings, [2]string{"credential.useHttpPath", "true"})
	// git-lfs asks below the address with .git, whether the catalog has it or not.
	plain := strings.TrimSuffix(strings.TrimRight(login.Repository, "/"), ".git")
	for _, address := range []string{plain, plain + ".git"} {
		settings = append(settings, [2]string{"credential." + address + ".helper", ""}, [2]string{"credential." + address + ".helper", helper})
	}
	return f, settings, nil
}

// refusedAt is the place in shownDescriptor, which all that have inherited it
// share, once a host has refused the login. git-lfs would show the same one
// again for ever.
const refusedAt = 1

// Credential is `berth agent credential`, git's helper: it answers action get
// with the login of the agent that has started git, if that is for the address
// that git asks about. After the host has refused it (erase), git is told to
// give up. See git-credential(1) and gitcredentials(7).
func Credential(action string, in io.Reader, out io.Writer) error {
	if action != "get" && action != "erase" {
		return nil // nothing is kept
	}
	asked := map[string]string{}
	for lines := bufio.NewScanner(in); lines.Scan() && lines.Text() != ""; {
		key, value, _ := strings.Cut(lines.Text(), "=")
		asked[key] = value
	}
	login, err := shownLogin()
	if err != nil {
		return orchestrator.Errorf(orchestrator.CodeState, "There is no login here: git asks for it while a server's agent fetches code.")
	}
	if login.Password == "" || !isFor(login.Repository, asked["protocol"], asked["host"], asked["path"]) {
		return nil
	}
	if action == "erase" {
		if asked["password"] == login.Password {
			_, err = unix.Seek(shownDescriptor, refusedAt, io.SeekStart)
		}
		return err
	}
	if at, err := unix.Seek(shownDescriptor, 0, io.SeekCurrent); err == nil && at == refusedAt {
		_, err := fmt.Fprint(out, "quit=1\n")
		return err
	}
	_, err = fmt.Fprintf(out, "username=%s\npassword=%s\n", login.Username, login.Password)
	return err
}

// shownLogin reads what showLogin has written. Several helpers may read at once.
func shownLogin() (orchestrator.Login, error) {
	var login orchestrator.Login
	const most = 1 << 20
	text := make([]byte, most)
	n, err := unix.Pread(shownDescriptor, text, 0)
	if err != nil {
		return login, err
	}
	return login, json.Unmarshal(text[:n], &login)
}

// isFor says whether a login for address is what git asks for: for exactly that
// repository, or the store of its large files, which git-lfs finds below it.
func isFor(address, protocol, host, path string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != protocol || u.Host != host {
		return false
	}
	plain := func(p string) string { return strings.TrimSuffix(strings.Trim(p, "/"), ".git") }
	repository, large, _ := strings.Cut(strings.Trim(path, "/"), "/info/lfs")
	return plain(repository) == plain(u.Path) && (large == "" || large[0] == '/')
}
