package terraform

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/lazyregexp"
	"github.com/cenkalti/backoff/v5"
	"github.com/hashicorp/go-version"
	"github.com/hashicorp/hc-install/product"
	"github.com/hashicorp/hc-install/releases"
)

const (
	// buildVersion is the last Terraform under the MPL, and one that
	// `go install` can build.
	buildVersion     = "1.5.7"
	terraformAtLeast = ">= 1.5.7"
	tofuAtLeast      = ">= 1.6.0"
)

// Binary is a Terraform or OpenTofu program.
type Binary struct {
	Path     string `json:"path"`
	Version  string `json:"version"`
	OpenTofu bool   `json:"opentofu,omitempty"`
}

// Name is what the binary calls itself.
func (b Binary) Name() string {
	if b.OpenTofu {
		return "OpenTofu"
	}
	return "Terraform"
}

// FindOptions say where to look for a binary and what to do without one.
type FindOptions struct {
	// Path is BERTH_TERRAFORM: the only one considered, when set.
	Path string
	// Data is Berth's data folder; what is installed goes to Data/bin.
	Data string
	// Constraint narrows the versions, as the catalog gives it.
	Constraint string
	// Search is the PATH to look through (default: the process's).
	Search string
	// Offline leaves out installing and building.
	Offline bool
	// ReleasesURL replaces https://releases.hashicorp.com (a mirror).
	ReleasesURL string
	// Progress is told, in plain words, what takes time.
	Progress func(text string)
}

// limits are the versions that may be used.
type limits struct {
	terraform, tofu version.Constraints
	text            string
}

func newLimits(constraint string) (limits, error) {
	join := func(least string) (version.Constraints, error) {
		if constraint != "" {
			least += ", " + constraint
		}
		return version.NewConstraint(least)
	}
	tf, err := join(terraformAtLeast)
	if err != nil {
		return limits{}, &orchestrator.Error{Code: orchestrator.CodeInvalidCatalog, Cause: err,
			Message: fmt.Sprintf("The catalog's terraform version %q is no version constraint.", constraint),
			Hint:    `Write it like version = ">= 1.5.7, < 2.0".`}
	}
	tofu, err := join(tofuAtLeast)
	if err != nil {
		return limits{}, err
	}
	text := "Terraform " + terraformAtLeast + " or OpenTofu " + tofuAtLeast
	if constraint != "" {
		text += ", and " + constraint
	}
	return limits{tf, tofu, text}, nil
}

// allows reports whether b fits. A pre-release counts as its release.
func (l limits) allows(b Binary) bool {
	v, err := version.NewVersion(b.Version)
	if err != nil {
		return false
	}
	if b.OpenTofu {
		return l.tofu.Check(v.Core())
	}
	return l.terraform.Check(v.Core())
}

// Find looks for a binary within the constraint: the one that is asked for,
// else on the PATH, else one installed before, else a verified download, else
// a build from the Go module proxy.
func Find(ctx context.Context, o FindOptions) (Binary, error) {
	l, err := newLimits(o.Constraint)
	if err != nil {
		return Binary{}, err
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	if o.Path != "" {
		b, err := probe(ctx, o.Path)
		if err != nil {
			return Binary{}, &orchestrator.Error{Code: orchestrator.CodeInvalidValue, Cause: err,
				Message: fmt.Sprintf("BERTH_TERRAFORM names %s, which does not run: %v.", o.Path, plain(o.Path, err)),
				Hint:    "Correct the path, or unset BERTH_TERRAFORM to let Berth look for itself."}
		}
		if !l.allows(b) {
			return Binary{}, orchestrator.Errorf(orchestrator.CodeInvalidValue, "BERTH_TERRAFORM names %s %s, but what is needed is %s.", b.Name(), b.Version, l.text).
				WithHint("Point it to another binary, or unset it to let Berth look for itself.")
		}
		return b, nil
	}
	var tried []string
	for _, path := range candidates(o) {
		b, err := probe(ctx, path)
		switch {
		case ctx.Err() != nil:
			return Binary{}, context.Cause(ctx)
		case err != nil:
			tried = append(tried, fmt.Sprintf("%s does not run", path))
		case !l.allows(b):
			tried = append(tried, fmt.Sprintf("%s is %s %s", path, b.Name(), b.Version))
		default:
			return b, nil
		}
	}
	if len(tried) == 0 {
		tried = []string{"none is on the PATH"}
	}
	if !o.Offline && o.Data != "" {
		b, err := o.install(ctx, l)
		if err == nil {
			return b, nil
		}
		if ctx.Err() != nil {
			return Binary{}, context.Cause(ctx)
		}
		tried = append(tried, err.Error())
	}
	return Binary{}, orchestrator.Errorf(orchestrator.CodeInternal, "No Terraform to be had: %s.", strings.Join(tried, "; ")).
		WithHint("Install %s, or set BERTH_TERRAFORM to the path of one.", l.text)
}

// candidates are the paths to try, in order.
func candidates(o FindOptions) []string {
	search := o.Search
	if search == "" {
		search = os.Getenv("PATH")
	}
	var out []string
	add := func(path string) {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			out = append(out, path)
		}
	}
	// Each name along the whole PATH: an old one in front hides no newer one.
	for _, name := range []string{"terraform", "tofu"} {
		for _, dir := range filepath.SplitList(search) {
			if filepath.IsAbs(dir) {
				add(filepath.Join(dir, name))
			}
		}
	}
	if o.Data != "" {
		add(filepath.Join(o.Data, "bin", "terraform"))
	}
	return out
}

var versionLine = lazyregexp.New(`(?m)^(Terraform|OpenTofu) v(\S+)`)

// probe asks a binary what it is, in an empty environment.
func probe(ctx context.Context, path string) (Binary, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return Binary{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, abs, "version")
	cmd.Dir = os.TempDir()
	cmd.Env = []string{"CHECKPOINT_DISABLE=1", "HOME=" + os.TempDir(), "PATH=" + os.Getenv("PATH")}
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil {
		return Binary{}, err
	}
	m := versionLine.FindSubmatch(out)
	if m == nil {
		return Binary{}, errors.New("it does not answer `version` as Terraform does")
	}
	return Binary{Path: abs, Version: string(m[2]), OpenTofu: string(m[1]) == "OpenTofu"}, nil
}

// probeNew is probe for a program that this process has just written: a child
// that was begun meanwhile has the file open for writing until it runs its own
// program, and so long the kernel runs it for nobody (ETXTBSY). Refused, if
// there is one, hears of each time.
func probeNew(ctx context.Context, path string, refused backoff.Notify) (Binary, error) {
	return backoff.Retry(ctx, func() (Binary, error) {
		b, err := probe(ctx, path)
		if err != nil && !errors.Is(err, syscall.ETXTBSY) {
			err = backoff.Permanent(err)
		}
		return b, err
	}, backoff.WithMaxElapsedTime(10*time.Second), backoff.WithNotify(refused))
}

// install downloads Terraform, or builds it, into Data/bin.
func (o FindOptions) install(ctx context.Context, l limits) (Binary, error) {
	bin := filepath.Join(o.Data, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return Binary{}, err
	}
	unlock, err := acquire(ctx, filepath.Join(bin, ".lock"), "install")
	if err != nil {
		return Binary{}, err
	}
	defer unlock()
	target := filepath.Join(bin, "terraform")
	if b, err := probe(ctx, target); err == nil && l.allows(b) {
		return b, nil // somebody else was faster
	}
	tmp, err := os.MkdirTemp(bin, ".install-*")
	if err != nil {
		return Binary{}, err
	}
	defer os.RemoveAll(tmp)
	downloadErr := o.download(ctx, l, tmp)
	if downloadErr != nil {
		if ctx.Err() != nil {
			return Binary{}, downloadErr
		}
		o.Progress("what makes the servers cannot be downloaded: it is built instead")
		if err := o.build(ctx, l, tmp); err != nil {
			return Binary{}, fmt.Errorf("it cannot be downloaded (%s) nor built (%s)", outOfReach(downloadErr), firstLine(err.Error()))
		}
	}
	b, err := probeNew(ctx, filepath.Join(tmp, "terraform"), nil)
	if err != nil {
		return Binary{}, fmt.Errorf("what was installed does not run: %w", err)
	}
	if !l.allows(b) {
		return Binary{}, fmt.Errorf("what was installed is %s", b.Version)
	}
	if err := os.Chmod(filepath.Join(tmp, "terraform"), 0o755); err != nil {
		return Binary{}, err
	}
	if err := os.Rename(b.Path, target); err != nil {
		return Binary{}, err
	}
	b.Path = target
	o.Progress("what makes the servers is installed")
	return b, nil
}

// download lets hc-install fetch the newest release that fits and verify its
// checksum and signature.
func (o FindOptions) download(ctx context.Context, l limits, dir string) error {
	o.Progress("downloading what makes the servers")
	transport := http.DefaultTransport.(*http.Transport).Clone()
	// Out of reach should be known soon: a build takes minutes as it is.
	transport.TLSHandshakeTimeout = 10 * time.Second
	transport.ResponseHeaderTimeout = 15 * time.Second
	lv := &releases.LatestVersion{
		Product: product.Terraform, Constraints: l.terraform, InstallDir: dir,
		Timeout: 10 * time.Minute, ApiBaseURL: o.ReleasesURL,
		HTTPClient: &http.Client{Transport: transport},
	}
	_, err := lv.Install(ctx)
	return err
}

// build compiles the last MPL release with the machine's Go.
func (o FindOptions) build(ctx context.Context, l limits, dir string) error {
	if !l.allows(Binary{Version: buildVersion}) {
		return fmt.Errorf("Terraform %s, which could be built, is outside the constraint", buildVersion)
	}
	goTool, err := exec.LookPath("go")
	if err != nil {
		return errors.New("there is no Go to build it with")
	}
	o.Progress("building what makes the servers, which takes some minutes")
	cmd := exec.CommandContext(ctx, goTool, "install", "-v", "-ldflags=-s -w", "github.com/hashicorp/terraform@v"+buildVersion)
	cmd.Dir = dir
	cmd.Env = []string{"GOBIN=" + dir, "CGO_ENABLED=0", "GOFLAGS=", "GOOS=", "GOARCH="}
	for _, name := range append([]string{"GOPROXY", "GOPATH", "GOCACHE", "GOMODCACHE", "GOSUMDB", "GONOSUMDB", "GONOPROXY", "GOPRIVATE", "GOTOOLCHAIN", "GOROOT", "XDG_CACHE_HOME"}, passed...) {
		if v, ok := os.LookupEnv(name); ok {
			cmd.Env = append(cmd.Env, name+"="+v)
		}
	}
	cmd.WaitDelay = 5 * time.Second
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	var last []string
	packages := 0
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		last = append(last, lines.Text())
		if len(last) > 5 {
			last = last[1:]
		}
		if packages++; packages%100 == 0 {
			o.Progress(fmt.Sprintf("building what makes the servers: %d packages", packages))
		}
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("go install: %w: %s", err, strings.Join(last, " / "))
	}
	return nil
}

// plain says why a program does not run, in a person's words.
func plain(path string, err error) error {
	info, statErr := os.Stat(path)
	switch {
	case errors.Is(statErr, fs.ErrNotExist):
		return errors.New("there is no such file")
	case statErr == nil && info.IsDir():
		return errors.New("it is a folder")
	case errors.Is(err, fs.ErrPermission):
		return errors.New("its mode forbids to run it")
	case errors.Is(err, syscall.ENOEXEC):
		return errors.New("it is no program of this machine's kind")
	}
	return err
}

// outOfReach says why a download failed, without the layers that the error
// went through.
func outOfReach(err error) string {
	var dns *net.DNSError
	var op *net.OpError
	var asked *url.Error
	switch {
	case errors.As(err, &dns):
		return "the host " + dns.Name + " is not found"
	case errors.As(err, &op):
		return op.Err.Error()
	case errors.As(err, &asked):
		return asked.Err.Error()
	}
	return firstLine(err.Error())
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	return strings.TrimSuffix(s, ".")
}
