package agent

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/berth-dev/berth/orchestrator"
)

// errGone is Berth's answer that this server is no more.
var errGone = errors.New("Berth says that this server was destroyed")

// statusError is an answer that is neither the wanted one nor the end.
type statusError struct {
	Status int
	Text   string
}

func (e *statusError) Error() string {
	return fmt.Sprintf("Berth answered %d %s: %s", e.Status, http.StatusText(e.Status), e.Text)
}

// maxRefusal is how much is kept of an answer that is none.
const maxRefusal = 1000

// maxStates is the most that the recipes may be.
const maxStates = 65 << 20

// client speaks to Berth.
type client struct {
	server string
	key    ed25519.PrivateKey
	berth  func() (url, ca string)
	offset atomic.Int64 // nanoseconds that Berth's clock is ahead

	mu   sync.Mutex
	ca   string // that http trusts
	http *http.Client
}

// newClient makes a client. berth gives the address and the authority to trust
// anew for each request: the local Berth may come back on another port, or with
// another certificate.
func newClient(serverID string, key ed25519.PrivateKey, berth func() (url, ca string)) *client {
	return &client{server: serverID, key: key, berth: berth}
}

// reach gives an HTTP client that trusts ca alone; without one, whom the
// machine trusts.
func (c *client) reach(ca string) (*http.Client, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.http != nil && c.ca == ca {
		return c.http, nil
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if ca != "" {
		pool, err := authority(ca)
		if err != nil {
			return nil, err
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	if c.http != nil {
		c.http.CloseIdleConnections()
	}
	c.ca, c.http = ca, &http.Client{
		Transport: transport,
		// A signature is for one address; none is sent on to another.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c.http, nil
}

// authority reads the certificates that are trusted.
func authority(ca string) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(ca)) {
		return nil, orchestrator.Errorf(orchestrator.CodeInvalidValue, "The certificate of Berth's authority in the boot data is not valid PEM.")
	}
	return pool, nil
}

// do sends one request and gives the body of a 200; nil for a 204.
func (c *client) do(ctx context.Context, method, target string, in any, limit int64, timeout time.Duration) ([]byte, error) {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return nil, fmt.Errorf("encoding a request: %w", err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	base, ca := c.berth()
	plain, err := c.reach(ca)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(base, "/")+target, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if in != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	Sign(r, body, c.server, c.key, time.Now().Add(time.Duration(c.offset.Load())))
	resp, err := plain.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, err
	}
	switch resp.StatusCode {
	case http.StatusOK:
		if int64(len(answer)) > limit {
			return nil, fmt.Errorf("Berth's answer is larger than %d bytes", limit)
		}
		return answer, nil
	case http.StatusNoContent:
		return nil, nil
	case http.StatusUnauthorized, http.StatusGone:
		return nil, errGone
	case http.StatusForbidden:
		if at, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
			c.offset.Store(int64(time.Until(at)))
		}
	}
	return nil, &statusError{resp.StatusCode, strings.TrimSpace(string(answer[:min(len(answer), maxRefusal)]))}
}

// enroll presents the token with this agent's key.
func (c *client) enroll(ctx context.Context, token string) error {
	_, err := c.do(ctx, http.MethodPost, PathEnroll, Enrollment{ServerID: c.server, Token: token,
		PublicKey: base64.StdEncoding.EncodeToString(c.key.Public().(ed25519.PublicKey))}, 1<<16, 30*time.Second)
	return err
}

// desired waits for a generation above after; nil when there is none yet.
func (c *client) desired(ctx context.Context, after int) (*orchestrator.Desired, error) {
	raw, err := c.do(ctx, http.MethodGet, PathDesired+"?"+QueryAfter+"="+strconv.Itoa(after), nil, MaxBody, PollTime+20*time.Second)
	if err != nil || raw == nil {
		return nil, err
	}
	var d orchestrator.Desired
	if err := json.Unmarshal(raw, &d); err != nil {
		return nil, fmt.Errorf("Berth's desired state cannot be read: %w", err)
	}
	return &d, nil
}

// states fetches the recipes and checks that they are those that were named.
func (c *client) states(ctx context.Context, digest string) ([]byte, error) {
	raw, err := c.do(ctx, http.MethodGet, PathStates+digest, nil, maxStates, 5*time.Minute)
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(raw); hex.EncodeToString(sum[:]) != digest {
		return nil, fmt.Errorf("the recipes that Berth sent are not those with the digest %s", digest)
	}
	return raw, nil
}

// login asks for what a repository is read with; nil: nothing is needed.
func (c *client) login(ctx context.Context, ask orchestrator.LoginRequest) (*orchestrator.Login, error) {
	raw, err := c.do(ctx, http.MethodPost, PathCredential, ask, 1<<20, time.Minute)
	if err != nil || raw == nil {
		return nil, err
	}
	var l orchestrator.Login
	if err := json.Unmarshal(raw, &l); err != nil {
		return nil, errors.New("Berth's credential cannot be read") // the error could quote it
	}
	return &l, nil
}

func (c *client) progress(ctx context.Context, lines []orchestrator.Progress) error {
	_, err := c.do(ctx, http.MethodPost, PathProgress, lines, 1<<16, 30*time.Second)
	return err
}

func (c *client) report(ctx context.Context, r json.RawMessage) error {
	_, err := c.do(ctx, http.MethodPost, PathReport, r, 1<<16, time.Minute)
	return err
}

// retry calls f until it succeeds, the server is gone, f's error is permanent
// or ctx ends. The first failure of a row is told to warn.
func retry(ctx context.Context, warn func(error), f func() error) error {
	wait := newBackoff(30 * time.Second)
	for told := false; ; {
		err := f()
		var permanent *backoff.PermanentError
		switch {
		case err == nil:
			return nil
		case errors.Is(err, errGone):
			return errGone
		case errors.As(err, &permanent):
			return permanent.Err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
		if !told {
			warn(err)
			told = true
		}
		if err := pause(ctx, wait.NextBackOff()); err != nil {
			return err
		}
	}
}

func newBackoff(most time.Duration) *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval = 200 * time.Millisecond
	b.Multiplier = 2
	b.MaxInterval = most
	b.Reset()
	return b
}

// pause waits, unless ctx ends first.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// loadKey reads this server's private key, and makes it at the first start.
func loadKey(dir string) (ed25519.PrivateKey, error) {
	name := filepath.Join(dir, keyFile)
	raw, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		return key, writeFile(name, pem.EncodeToMemory(&pem.Block{Type: "BERTH AGENT KEY", Bytes: key.Seed()}))
	}
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(raw)
	if block == nil || len(block.Bytes) != ed25519.SeedSize {
		return nil, fmt.Errorf("the key %s is damaged: replace this server", name)
	}
	return ed25519.NewKeyFromSeed(block.Bytes), nil
}
