package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/gofrs/flock"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/berth-dev/berth/bot/httpapi"
	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/agent"
	"github.com/berth-dev/berth/orchestrator/catalog"
	"github.com/berth-dev/berth/templates"
)

// retryAfter is how long Berth waits, unless told otherwise, before it tries
// once more by itself.
const retryAfter = 30 * time.Second

// lookEvery is how often an environment in a cloud is looked at, unless told
// otherwise: some calls of the cloud's API each.
const lookEvery = 10 * time.Minute

// serveOptions is how berth serve was called; secrets come from the
// environment and nowhere else.
type serveOptions struct {
	Catalog, Data, Listen, PublicURL string
	Database                         string
	// TLSCert and TLSKey are files; TLSCA is the authority that agents pin.
	TLSCert, TLSKey, TLSCA string
	BehindProxy            bool
	// RetryAfter is how long Berth waits before it tries again by itself.
	RetryAfter time.Duration
	// LookEvery is how often an environment in a cloud is looked at, 0 for never.
	LookEvery time.Duration
	Slack     slackOptions
	Secrets   secrets
	Out, Err  io.Writer
}

// slackOptions are how Slack is reached, beside its secrets.
type slackOptions struct{ APIURL, EnvCommand, ServerCommand, OpsChannel string }

// secrets are what serve takes out of its environment at its start.
type secrets struct {
	GitHubToken  string
	GitHubAppID  string
	GitHubAppKey string // path

	SlackBotToken, SlackAppToken, SlackSigningSecret string
}

// takeSecrets reads the secrets and removes every variable of Berth's that
// could hold one, so that no child inherits it.
func takeSecrets() secrets {
	s := secrets{GitHubToken: os.Getenv("BERTH_GITHUB_TOKEN"), GitHubAppID: os.Getenv("BERTH_GITHUB_APP_ID"), GitHubAppKey: os.Getenv("BERTH_GITHUB_APP_KEY_FILE"),
		SlackBotToken: os.Getenv("BERTH_SLACK_BOT_TOKEN"), SlackAppToken: os.Getenv("BERTH_SLACK_APP_TOKEN"), SlackSigningSecret: os.Getenv("BERTH_SLACK_SIGNING_SECRET")}
	for _, pair := range os.Environ() {
		name, _, _ := strings.Cut(pair, "=")
		if strings.HasPrefix(name, "BERTH_GITHUB_") && name != "BERTH_GITHUB_API_URL" || strings.HasPrefix(name, "BERTH_SLACK_") || name == "BERTH_TOKEN" {
			os.Unsetenv(name)
		}
	}
	// The memory that held the environment stays readable through /proc for
	// processes of the same user, unless this process is not dumpable.
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	return s
}

func newServeCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run Berth: the one process that changes anything",
		Long: `Run Berth: the one process that changes anything. It makes the environments of
the catalog, listens for its clients and for the servers' agents, and prints
"listening on URL" when it is ready. Stopped or killed at any time, it goes on
where it was at its next start.

Secrets come from the environment alone: BERTH_GITHUB_TOKEN, or
BERTH_GITHUB_APP_ID and BERTH_GITHUB_APP_KEY_FILE; for Slack
BERTH_SLACK_BOT_TOKEN, and BERTH_SLACK_APP_TOKEN (Socket Mode) or
BERTH_SLACK_SIGNING_SECRET (HTTP mode; then BERTH_PUBLIC_URL too).

Servers call Berth at the public URL and believe only what the certificate's
authority vouches for. Where this machine knows that authority, servers use
their own list too; else it is the last certificate of --tls-cert, or what
--tls-ca names (also with --behind-proxy). A renewed certificate is picked up
as it is written; one of another authority needs a restart, and servers on
other machines do not follow it: keep the old authority in --tls-ca beside the
new one until they have been replaced.

Beyond this machine Berth always speaks TLS. Without --tls-cert and
--behind-proxy it is its own authority: made at the first start, good for ten
years, kept in the folder tls of the data folder (ca.key is the secret: back it
up with the rest), with a certificate for the public URL's host and the listen
address that it renews by itself. Servers pin that authority. People on other
machines name a copy of tls/ca.pem, or a team's private authority, with
BERTH_CA, beside BERTH_URL and BERTH_TOKEN. Browsers do not know it, and Slack's
HTTP mode needs a certificate of a public authority; Socket Mode does not.`,
		Example: `  berth serve --catalog ops/berth.hcl
  berth serve --listen 0.0.0.0:7878 --public-url https://10.0.0.5:7878
  berth serve --listen 0.0.0.0:443 --tls-cert berth.pem --tls-key berth.key --public-url https://berth.example.com`,
		Args: needWords(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			flag := func(name, variable string) string {
				v, _ := cmd.Flags().GetString(name)
				if v == "" || !cmd.Flags().Changed(name) && os.Getenv(variable) != "" {
					if e := os.Getenv(variable); e != "" {
						return e
					}
				}
				return v
			}
			proxy, _ := cmd.Flags().GetBool("behind-proxy")
			again, err := time.ParseDuration(flag("retry-after", "BERTH_RETRY_AFTER"))
			if err != nil || again < 0 || again > 10*time.Minute {
				return orchestrator.Errorf(orchestrator.CodeInvalidValue, "%q is no time to wait before trying again.", flag("retry-after", "BERTH_RETRY_AFTER")).
					WithHint("--retry-after 30s; 10m at most, 0s for not at all")
			}
			look, err := time.ParseDuration(flag("look-every", "BERTH_LOOK_EVERY"))
			if err != nil || look < 0 || look > 0 && look < time.Second {
				return orchestrator.Errorf(orchestrator.CodeInvalidValue, "%q is no time between two looks at a cloud.", flag("look-every", "BERTH_LOOK_EVERY")).
					WithHint("--look-every 10m; 0s for never")
			}
			return serve(cmd.Context(), serveOptions{
				Catalog: flag("catalog", "BERTH_CATALOG"), Data: dataFolder(cmd), Listen: flag("listen", "BERTH_LISTEN"),
				PublicURL: strings.TrimSuffix(flag("public-url", "BERTH_PUBLIC_URL"), "/"), Database: flag("database", "BERTH_DATABASE_URL"),
				TLSCert: flag("tls-cert", "BERTH_TLS_CERT"), TLSKey: flag("tls-key", "BERTH_TLS_KEY"), TLSCA: flag("tls-ca", "BERTH_TLS_CA"), BehindProxy: proxy || os.Getenv("BERTH_BEHIND_PROXY") != "",
				RetryAfter: again, LookEvery: look,
				Slack:   slackOptions{APIURL: os.Getenv("BERTH_SLACK_API_URL"), EnvCommand: os.Getenv("BERTH_SLACK_ENV_COMMAND"), ServerCommand: os.Getenv("BERTH_SLACK_SERVER_COMMAND"), OpsChannel: flag("slack-ops-channel", "BERTH_SLACK_OPS_CHANNEL")},
				Secrets: takeSecrets(), Out: cmd.OutOrStdout(), Err: cmd.ErrOrStderr(),
			})
		},
	}
	f := c.Flags()
	f.String("catalog", "berth.hcl", "the catalog (BERTH_CATALOG)")
	f.String("listen", "127.0.0.1:7878", "where agents and API clients call; port 0 takes a free one (BERTH_LISTEN)")
	f.String("public-url", "", "the address that agents and Slack use; port 0 is the one listened on (BERTH_PUBLIC_URL; default: the listen address)")
	f.String("database", "", "sqlite:PATH (BERTH_DATABASE_URL; default: berth.db in the data folder)")
	f.String("tls-cert", "", "certificate file, with its chain; read again when it changes (BERTH_TLS_CERT)")
	f.String("tls-key", "", "key file (BERTH_TLS_KEY)")
	f.String("tls-ca", "", "certificate of the authority that servers trust alone (BERTH_TLS_CA; default: the last of the certificate file, none where this machine knows it)")
	f.String("slack-ops-channel", "", "the ID of the Slack channel where ops are told what several environments have for one reason (BERTH_SLACK_OPS_CHANNEL)")
	f.String("retry-after", retryAfter.String(), "how long Berth waits before it tries once more by itself what may pass, such as an unreachable git host; longer where something is busy or limits how often it is asked; 0s: not at all (BERTH_RETRY_AFTER)")
	f.String("look-every", lookEvery.String(), "how often Berth looks whether the machines of an environment in a cloud are still there, and at once when an agent has fallen silent; 0s: never (BERTH_LOOK_EVERY)")
	f.Bool("behind-proxy", false, "a proxy in front ends TLS (BERTH_BEHIND_PROXY)")
	return c
}

// checkListen refuses an address, or a certificate, that nobody could use.
func checkListen(o serveOptions) error {
	_, port, err := net.SplitHostPort(o.Listen)
	if _, unknown := net.LookupPort("tcp", port); err != nil || unknown != nil {
		return orchestrator.Errorf(orchestrator.CodeInvalidValue, "%q is no address to listen on.", o.Listen).WithHint("--listen 127.0.0.1:7878")
	}
	if (o.TLSCert == "") != (o.TLSKey == "") {
		return orchestrator.Errorf(orchestrator.CodeInvalidValue, "A certificate and its key go together.").WithHint("give both --tls-cert and --tls-key")
	}
	if !ownAuthority(o) {
		if o.TLSCert == "" && o.PublicURL != "" {
			if err := agent.CheckURL(o.PublicURL); err != nil {
				return err // every agent would refuse it
			}
		}
		return nil
	}
	if o.TLSCA != "" {
		return orchestrator.Errorf(orchestrator.CodeInvalidValue, "--tls-ca names an authority, and there is no certificate that it vouches for.").
			WithHint("give --tls-cert and --tls-key too, or --behind-proxy when a proxy in front ends TLS; without any of them Berth is its own authority")
	}
	// Slack's HTTP mode calls Berth, and believes public authorities alone.
	if o.Secrets.SlackSigningSecret != "" && o.Secrets.SlackAppToken == "" {
		return orchestrator.Errorf(orchestrator.CodeInvalidValue, "Slack would call Berth, and does not believe the certificate that Berth makes for itself.").
			WithHint("give --tls-cert and --tls-key of a public authority, or --behind-proxy when a proxy in front ends TLS; or use Socket Mode (BERTH_SLACK_APP_TOKEN)")
	}
	return nil
}

// databasePath is the SQLite file that --database names: sqlite:PATH, relative
// to the data folder; without it, berth.db there.
func databasePath(o serveOptions) (string, error) {
	if o.Database == "" {
		return filepath.Join(o.Data, "berth.db"), nil
	}
	path, ok := strings.CutPrefix(o.Database, "sqlite:")
	if !ok || strings.TrimLeft(path, "/") == "" {
		scheme, _, _ := strings.Cut(o.Database, ":") // the rest may hold a password
		return "", orchestrator.Errorf(orchestrator.CodeInvalidValue, "Berth keeps its records in SQLite and cannot use a database of the kind %q.", scheme).
			WithHint("--database sqlite:PATH, or leave it out")
	}
	path = strings.TrimPrefix(path, "//")
	if !filepath.IsAbs(path) {
		path = filepath.Join(o.Data, path)
	}
	return path, nil
}

// lockData makes the data folder and takes its lock.
func lockData(dir string) (*flock.Flock, error) {
	// Servers of the local target live below it under users of their own: they
	// may pass through, and read nothing.
	if err := passable(dir); err != nil {
		return nil, err
	}
	l := flock.New(filepath.Join(dir, "serve.lock"), flock.SetFlag(os.O_CREATE|os.O_RDWR), flock.SetPermissions(0o600))
	ok, err := l.TryLock()
	if err != nil {
		return nil, dataError(dir, err)
	}
	if !ok {
		return nil, orchestrator.Errorf(orchestrator.CodeState, "Another Berth already serves the data folder %s.", dir).WithHint("stop that one first, or give this one a folder of its own with --data")
	}
	return l, nil
}

// passable makes a folder that others may pass through but not read, whatever
// the umask.
func passable(dir string) error {
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return dataError(dir, err)
	}
	info, err := os.Stat(dir)
	if err == nil && info.Mode().Perm()&0o011 != 0o011 {
		err = os.Chmod(dir, info.Mode().Perm()|0o011)
	}
	if err != nil {
		return dataError(dir, err)
	}
	return nil
}

func dataError(dir string, err error) error {
	e := orchestrator.Errorf(orchestrator.CodeState, "Berth cannot write to its data folder %s (%v).", dir, reason(err)).
		WithHint("give the user that runs Berth the right to write there, or choose another folder with --data")
	if errors.Is(err, syscall.ENOSPC) {
		e = orchestrator.Errorf(orchestrator.CodeState, "The disk that holds %s is full.", dir).WithHint("make room on it, then start Berth again")
	}
	e.Cause = err
	return e
}

func reason(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}

// otherPort is what to do about an address that cannot be listened on.
func otherPort(err error) string {
	switch {
	case errors.Is(err, syscall.EACCES):
		return "choose a port from 1024 on with --listen, or let who runs Berth take lower ones (CAP_NET_BIND_SERVICE)"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "choose an address that this machine has with --listen; 0.0.0.0 is all of them"
	}
	return "stop what uses that port, or choose another with --listen"
}

// serve runs until it is told to stop.
func serve(ctx context.Context, o serveOptions) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	// Whoever asks a second time does not want to wait.
	context.AfterFunc(ctx, stop)
	syscall.Umask(0o077)
	if err := checkListen(o); err != nil {
		return err
	}
	database, err := databasePath(o)
	if err != nil {
		return err
	}
	o.Database = database
	path, err := filepath.Abs(o.Catalog)
	if err != nil {
		return fmt.Errorf("finding the catalog: %w", err)
	}
	source, err := catalog.Open(path)
	if err != nil {
		return err
	}
	lock, err := lockData(o.Data)
	if err != nil {
		return err
	}
	defer lock.Unlock()
	log := slog.New(slog.NewTextHandler(o.Err, nil))
	listener, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return orchestrator.Errorf(orchestrator.CodeState, "Berth cannot listen on %s (%v).", o.Listen, reason(err)).WithHint("%s", otherPort(err))
	}
	defer listener.Close()
	scheme := "http"
	if o.TLSCert != "" || ownAuthority(o) {
		scheme = "https"
	}
	url := scheme + "://" + listener.Addr().String()
	if o.PublicURL == "" {
		o.PublicURL = url
	} else if at, ok := strings.CutSuffix(o.PublicURL, ":0"); ok {
		_, port, _ := net.SplitHostPort(listener.Addr().String())
		o.PublicURL = at + ":" + port
	}
	shown, ca, err := openTLS(o, log)
	if err != nil {
		return err
	}
	// What no machine could be made with is told now, not at the first one.
	if _, err := templates.UserData(orchestrator.Boot{ServerID: newID("s"), Token: rand.Text(), URL: o.PublicURL, SaltVersion: source.Current().Salt.Version, CA: ca}); err != nil {
		return err
	}
	h, err := newHouse(ctx, o, ca, source, log)
	if err != nil {
		return err
	}
	h.tls = shown
	defer h.close()
	return h.serve(ctx, listener, url)
}

// servers runs the two HTTP servers until ctx ends.
func (h *house) serve(ctx context.Context, listener net.Listener, url string) error {
	path := socketPath(h.options.Data)
	socket, err := listenSocket(path)
	if err != nil {
		return err
	}
	defer removeSocket(path, h.options.Data)
	failed := make(chan error, 2)
	// A request must not outlive the shutdown: long polls end with base.
	base, endPolls := context.WithCancel(context.Background())
	defer endPolls()
	public := &http.Server{Handler: httpapi.Hurry(2*time.Minute, h.public()), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 3 * time.Minute, BaseContext: func(net.Listener) context.Context { return base }}
	private := &http.Server{Handler: h.private(), ReadHeaderTimeout: 10 * time.Second, ConnContext: h.peers().context, BaseContext: func(net.Listener) context.Context { return base }}
	go func() {
		if h.tls != nil {
			public.TLSConfig = h.tls
			failed <- public.ServeTLS(listener, "", "")
		} else {
			failed <- public.Serve(listener)
		}
	}()
	go func() { failed <- private.Serve(socket) }()
	if err := h.start(ctx); err != nil {
		return err
	}
	if err := writeFile(filepath.Join(h.options.Data, "address"), url+"\n", 0o644); err != nil {
		return dataError(h.options.Data, err)
	}
	defer os.Remove(filepath.Join(h.options.Data, "address"))
	stopSlack := h.runSlack()
	h.ready.Store(true)
	fmt.Fprintln(h.options.Out, "listening on", url)
	go h.tellLacks(ctx)
	select {
	case <-ctx.Done():
	case err := <-failed:
		return fmt.Errorf("serving: %w", err)
	}
	h.ready.Store(false)
	h.log.Info("stopping: what runs goes on by itself and is taken up at the next start")
	endPolls()
	grace, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err = errors.Join(public.Shutdown(grace), private.Shutdown(grace), h.jobs.Stop(grace))
	stopSlack() // last: until now jobs may have had something to answer
	return err
}

// writeFile replaces path as a whole.
func writeFile(path, text string, mode os.FileMode) error {
	tmp := path + ".new"
	if err := os.WriteFile(tmp, []byte(text), mode); err != nil {
		return err
	}
	// The umask has taken from mode what others are meant to read.
	if err := os.Chmod(tmp, mode); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// newID makes an identifier: a letter and 12 random base32 characters.
func newID(prefix string) string { return prefix + strings.ToLower(rand.Text()[:12]) }
