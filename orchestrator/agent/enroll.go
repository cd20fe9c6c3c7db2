package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/templates"
)

// enroll binds the token to this agent's key, once.
func (a *agent) enroll(ctx context.Context) error {
	sum := sha256.Sum256([]byte(a.config.Boot.Token))
	name, want := filepath.Join(a.dir, enrolledFile), hex.EncodeToString(sum[:])
	if raw, err := os.ReadFile(name); err == nil && (string(raw) == want || a.config.Boot.Token == "") {
		a.forgetToken()
		return nil
	}
	if a.config.Boot.Token == "" {
		return orchestrator.Errorf(orchestrator.CodeNotAllowed, "The server %s has neither signed in to Berth nor a token to do so.", a.config.Boot.ServerID).
			WithHint("Destroy the server and create it again.")
	}
	refusals := 0
	err := retry(ctx, a.warn("enrolling"), func() error {
		err := a.client.enroll(ctx, a.config.Boot.Token)
		var refused *statusError
		if errors.As(err, &refused) && refused.Status == 403 {
			if refusals++; refusals == 3 {
				return permanent(orchestrator.Errorf(orchestrator.CodeNotAllowed, "Berth knows the server %s by another key.", a.config.Boot.ServerID).
					WithHint("Destroy the server and create it again."))
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := writeFile(name, []byte(want)); err != nil {
		return err
	}
	a.forgetToken()
	return nil
}

// cloudInitCopies are cloud-init's own copies of the user-data that it can do
// without: it fetches them anew at each start.
var cloudInitCopies = []string{
	"/var/lib/cloud/instance/user-data.txt", "/var/lib/cloud/instance/user-data.txt.i", "/var/lib/cloud/instance/cloud-config.txt",
}

// forgetToken takes the token, which is dead now, from where it lies on a
// machine of its own. On Berth's machine it says which agent a folder is of.
func (a *agent) forgetToken() {
	file := a.config.BootFile
	if file == "" || a.config.Boot.Token == "" {
		return
	}
	boot := a.config.Boot
	boot.Token = ""
	err := writeJSON(file, boot)
	if err == nil {
		err = rewrite(a.dir, func(c *config) bool { c.Boot.Token = ""; return true })
	}
	if err != nil {
		a.log.Warn("the dead token was not removed", "error", err)
		return
	}
	a.config.Boot.Token = ""
	if file != templates.BootFile {
		return // this is no machine that cloud-init has made
	}
	for _, name := range cloudInitCopies {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			a.log.Warn("a copy of the user-data was not removed", "error", err)
		}
	}
}
