package main

import (
	_ "embed"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

//go:embed salt_off.sh
var saltOff []byte

// The app answers at once, so that what is measured is Berth.
const saltOffCatalog = `target "local" {
  module = "local"
}
app "api" {
  repository = "repos/api"
  port       = 8080
  health     = "/"
  start      = "exec %[1]s -answer"
}
app "web" {
  repository = "repos/web"
  port       = 8081
  health     = "/"
  start      = "exec %[1]s -answer"
}
blueprint "shop" {
  apps = ["api", "web"]
}
`

// answer is the app: it says yes on PORT until it is ended.
func answer() error {
	return http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }))
}

// withoutSalt measures the command to ready for two servers whose Salt step is
// replaced by a checkout.
func (b *bench) withoutSalt(rounds int) ([]time.Duration, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	// Servers have users of their own, who cannot look into go run's folder.
	program, err := os.ReadFile(self)
	if err != nil {
		return nil, err
	}
	app := filepath.Join(b.dir, "answer")
	if err := os.WriteFile(app, program, 0o755); err != nil {
		return nil, err
	}
	b.salt = filepath.Join(b.dir, "salt-off")
	if err := os.WriteFile(b.salt, saltOff, 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(b.dir, "berth.hcl"), fmt.Appendf(nil, saltOffCatalog, app), 0o644); err != nil {
		return nil, err
	}
	if _, err := b.start(); err != nil {
		return nil, err
	}
	var all []time.Duration
	for i := range rounds {
		t, err := b.withBerth(fmt.Sprintf("off%d", i))
		if err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	return all, b.stop()
}
