package app

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/berth-dev/berth/orchestrator/branch/githubfake"
)

// onShow is where tokens were seen that nobody but git's helper should see, at
// the moments at which git showed them.
var onShow sync.Map // script's folder → *sightings

type sightings struct {
	mu    sync.Mutex
	where []string
}

// look finds a secret in the arguments and environments of all processes.
func (s *sightings) look(secret string) {
	for _, kind := range []string{"cmdline", "environ"} {
		files, _ := filepath.Glob("/proc/[0-9]*/" + kind)
		for _, name := range files {
			if text, err := os.ReadFile(name); err == nil && bytes.Contains(text, []byte(secret)) {
				s.mu.Lock()
				s.where = append(s.where, name+": "+strings.ReplaceAll(string(text), "\x00", " "))
				s.mu.Unlock()
			}
		}
	}
}

// cmdPrivate is a GitHub whose repositories are private, and Berth's App there:
// private starts it, and puts its address for GITHUB in the catalog; private
// trust TOKEN, revoke, lack, suspend, well, remove NAME, install NAME change it; private seen
// prints which repositories git was let into, and with what, private grants what
// tokens were asked for, private sightings where else they were seen.
func cmdPrivate(ts *testscript.TestScript, _ bool, args []string) {
	h := ts.Value("github").(*githubfake.Hub)
	switch strings.Join(args[:min(len(args), 1)], "") {
	case "":
		repos := ts.MkAbs("repos")
		for i, name := range []string{"api", "web", "glass", "paint"} {
			if dirExists(filepath.Join(repos, name)) {
				h.Repositories = append(h.Repositories, githubfake.Repository{Name: "acme/" + name, ID: i + 1, Dir: filepath.Join(repos, name), Private: true, Installed: true})
			}
		}
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		ts.Check(err)
		h.Key, h.Expires = &key.PublicKey, func() time.Time { return time.Now().Add(time.Hour) }
		seen := &sightings{}
		onShow.Store(ts.Getenv("WORK"), seen)
		h.Shown = seen.look
		h.Start()
		file := ts.MkAbs("app.pem")
		ts.Check(os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}), 0o600))
		ts.Setenv("BERTH_GITHUB_API_URL", h.URL+githubfake.API)
		ts.Setenv("BERTH_GITHUB_APP_ID", githubfake.AppID)
		ts.Setenv("BERTH_GITHUB_APP_KEY_FILE", file)
		ts.Setenv("GITHUB", h.URL)
		catalog := ts.MkAbs("ops/berth.hcl")
		ts.Check(os.WriteFile(catalog, []byte(strings.ReplaceAll(ts.ReadFile(catalog), "GITHUB", h.URL)), 0o644))
	case "trust":
		h.Trust(args[1])
	case "revoke":
		h.RevokeReading()
	case "tire":
		h.RevokeBeforeLarge()
	case "lack":
		h.Lack(true)
	case "suspend":
		h.Suspend(true)
	case "well":
		h.Lack(false)
		h.Suspend(false)
	case "remove":
		h.Install(args[1], false)
	case "install":
		h.Install(args[1], true)
	case "seen":
		fmt.Fprintln(ts.Stdout(), strings.Join(h.Presented(), "\n"))
	case "grants":
		for _, g := range h.Grants() {
			fmt.Fprintf(ts.Stdout(), "%s for %s: %v\n", g.Token, strings.Join(g.Repositories, ","), g.Permissions)
		}
	case "sightings":
		s, _ := onShow.Load(ts.Getenv("WORK"))
		seen := s.(*sightings)
		seen.mu.Lock()
		defer seen.mu.Unlock()
		if len(seen.where) == 0 {
			fmt.Fprintln(ts.Stdout(), "nowhere else")
		}
		slices.Sort(seen.where)
		for _, where := range slices.Compact(seen.where) {
			fmt.Fprintln(ts.Stdout(), where)
		}
	default:
		ts.Fatalf("private cannot be %v", args)
	}
}

func dirExists(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}
