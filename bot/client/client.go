// Package client talks to a running berth serve: over the Unix socket in its
// data folder, or over HTTPS with a token.
package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/berth-dev/berth/bot/wire"
	"github.com/berth-dev/berth/orchestrator"
)

// Client is a connection to Berth.
type Client struct {
	base  string
	token string
	http  *http.Client
	where string // for messages
	err   error  // why nothing can be asked
}

// Socket reaches the serve that listens on the Unix socket at path.
func Socket(path string) *Client {
	t := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}}
	return &Client{base: "http://berth", http: &http.Client{Transport: t}, where: path}
}

// URL reaches a Berth over HTTP(S) with an API token. ca is a file with the
// certificates, in PEM form, that are believed alone; empty: those that this
// machine knows.
func URL(base, token, ca string) *Client {
	base = strings.TrimRight(base, "/")
	c := &Client{base: base, token: token, http: &http.Client{}, where: base}
	if ca == "" {
		return c
	}
	pool := x509.NewCertPool()
	raw, err := os.ReadFile(ca)
	switch {
	case err != nil:
		c.err = orchestrator.Errorf(orchestrator.CodeInvalidValue, "BERTH_CA names %s, which cannot be read.", ca).
			WithHint("name a copy of Berth's certificate: tls/ca.pem in the data folder of its machine")
	case !pool.AppendCertsFromPEM(raw):
		c.err = orchestrator.Errorf(orchestrator.CodeInvalidValue, "BERTH_CA names %s, which holds no certificate in PEM form.", ca).
			WithHint("name a copy of Berth's certificate: tls/ca.pem in the data folder of its machine")
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	c.http.Transport = t
	return c
}

// Where says what this is a connection to, for people.
func (c *Client) Where() string { return c.where }

// Do runs one command, given in canonical text.
func (c *Client) Do(ctx context.Context, text string) (orchestrator.Answer, error) {
	var a orchestrator.Answer
	err := c.call(ctx, http.MethodPost, "/api/v1/commands", wire.Command{Text: text}, &a)
	return a, err
}

// Rows lists environments for a table.
func (c *Client) Rows(ctx context.Context, text string) ([]wire.Row, error) {
	var lines strings.Builder
	lines.Grow(1 << 20) // what of it is not used is never touched
	if err := c.call(ctx, http.MethodPost, "/api/v1/commands", wire.Command{Text: text, Form: wire.FormBrief}, &lines); err != nil {
		return nil, err
	}
	rows, err := wire.ParseRows(lines.String())
	if err != nil {
		return nil, c.unreachable(fmt.Errorf("its answer cannot be read: %w", err))
	}
	return rows, nil
}

// List copies the JSON array of environments to w as it comes.
func (c *Client) List(ctx context.Context, text string, w io.Writer) error {
	return c.call(ctx, http.MethodPost, "/api/v1/commands", wire.Command{Text: text, Form: wire.FormBare}, w)
}

// Watch gives an operation and its events after seq, waiting up to wait for
// something new.
func (c *Client) Watch(ctx context.Context, operationID string, seq int64, wait time.Duration) (wire.Watch, error) {
	var w wire.Watch
	q := url.Values{"after": {strconv.FormatInt(seq, 10)}, "wait": {wait.String()}}
	err := c.call(ctx, http.MethodGet, "/api/v1/operations/"+url.PathEscape(operationID)+"?"+q.Encode(), nil, &w)
	return w, err
}

// Logs gives what an environment's servers printed from offset on, waiting up
// to wait for something new.
func (c *Client) Logs(ctx context.Context, name string, offset int64, wait time.Duration) (wire.Logs, error) {
	var l wire.Logs
	q := url.Values{"after": {strconv.FormatInt(offset, 10)}, "wait": {wait.String()}}
	err := c.call(ctx, http.MethodGet, "/api/v1/environments/"+url.PathEscape(name)+"/logs?"+q.Encode(), nil, &l)
	return l, err
}

// State reads the Terraform state of an environment, given its name or ID; ops
// only.
func (c *Client) State(ctx context.Context, name string, q wire.StateQuery) (wire.State, error) {
	var s wire.State
	err := c.call(ctx, http.MethodPost, "/api/v1/environments/"+url.PathEscape(name)+"/state", q, &s)
	return s, err
}

// Names gives what a shell can complete.
func (c *Client) Names(ctx context.Context) (wire.Names, error) {
	var n wire.Names
	err := c.call(ctx, http.MethodGet, "/api/v1/names", nil, &n)
	return n, err
}

// Branches gives the branches of an app, for completion.
func (c *Client) Branches(ctx context.Context, app string) ([]string, error) {
	var all []string
	err := c.call(ctx, http.MethodGet, "/api/v1/apps/"+url.PathEscape(app)+"/branches", nil, &all)
	return all, err
}

// CreateToken makes an API token for a person; ops only.
func (c *Client) CreateToken(ctx context.Context, t wire.Token) (wire.Token, error) {
	err := c.call(ctx, http.MethodPost, "/api/v1/tokens", t, &t)
	return t, err
}

// Tokens lists the API tokens; ops only.
func (c *Client) Tokens(ctx context.Context) ([]wire.Token, error) {
	var all []wire.Token
	err := c.call(ctx, http.MethodGet, "/api/v1/tokens", nil, &all)
	return all, err
}

// RevokeToken ends an API token; ops only.
func (c *Client) RevokeToken(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodDelete, "/api/v1/tokens/"+url.PathEscape(id), nil, nil)
}

// Causes lists what has failed before, the most frequent first; ops only.
func (c *Client) Causes(ctx context.Context, f orchestrator.CauseFilter) ([]orchestrator.KnownCause, error) {
	q := url.Values{}
	for key, value := range map[string]string{"app": f.App, "code": f.Code} {
		if value != "" {
			q.Set(key, value)
		}
	}
	if !f.Since.IsZero() {
		q.Set("since", f.Since.UTC().Format(time.RFC3339))
	}
	var all []orchestrator.KnownCause
	err := c.call(ctx, http.MethodGet, "/api/v1/causes?"+q.Encode(), nil, &all)
	return all, err
}

// Cause gives all that is remembered of one cause, by the beginning of its
// fingerprint; ops only.
func (c *Client) Cause(ctx context.Context, fingerprint string) (orchestrator.CauseDetail, error) {
	var d orchestrator.CauseDetail
	err := c.call(ctx, http.MethodGet, "/api/v1/causes/"+url.PathEscape(fingerprint), nil, &d)
	return d, err
}

// NoteCause sets the note of a cause, or takes it away; ops only.
func (c *Client) NoteCause(ctx context.Context, fingerprint, text string) (orchestrator.KnownCause, error) {
	var k orchestrator.KnownCause
	err := c.call(ctx, http.MethodPut, "/api/v1/causes/"+url.PathEscape(fingerprint)+"/note", wire.CauseNote{Text: text}, &k)
	return k, err
}

// Reload asks serve to read its catalog again; ops only.
func (c *Client) Reload(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, "/api/v1/reload", nil, nil)
}

func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	if c.err != nil {
		return c.err
	}
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("encoding a request: %w", err)
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return c.unreachable(err)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	res, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return c.unreachable(err)
	}
	defer res.Body.Close()
	if res.StatusCode >= 400 {
		var f wire.Failure
		if err := json.NewDecoder(res.Body).Decode(&f); err != nil || f.Error.Message == "" {
			return c.unreachable(fmt.Errorf("it answered %s", res.Status))
		}
		return &f.Error
	}
	if out == nil {
		return nil
	}
	if w, ok := out.(io.Writer); ok {
		// Lists are long. A file would be copied to in small pieces of its own
		// choice.
		if _, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{res.Body}, make([]byte, 256<<10)); err != nil && ctx.Err() == nil {
			return c.unreachable(fmt.Errorf("reading its answer: %w", err))
		}
		return ctx.Err()
	}
	if err := json.NewDecoder(res.Body).Decode(out); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return c.unreachable(fmt.Errorf("reading its answer: %w", err))
	}
	return nil
}

func (c *Client) unreachable(err error) error {
	var op *net.OpError
	detail := err.Error()
	if errors.As(err, &op) {
		detail = op.Err.Error()
	}
	var (
		certificate *tls.CertificateVerificationError
		plain       tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &certificate):
		e := orchestrator.Errorf(orchestrator.CodeNoBerth, "What answers at %s cannot prove that it is Berth (%s).", c.where, strings.TrimPrefix(certificate.Unwrap().Error(), "x509: ")).
			WithHint("check BERTH_URL; where Berth or your team is its own authority, name that certificate: BERTH_CA=FILE (Berth's is tls/ca.pem in the data folder of its machine)")
		e.Cause = err
		return e
	case errors.As(err, &plain):
		e := orchestrator.Errorf(orchestrator.CodeNoBerth, "What answers at %s speaks no TLS.", c.where).WithHint("check BERTH_URL: is it http?")
		e.Cause = err
		return e
	}
	e := orchestrator.Errorf(orchestrator.CodeNoBerth, "No Berth answers at %s (%s).", c.where, detail).
		WithHint("start one with berth serve, or name a running one with --data or BERTH_URL")
	e.Cause = err
	return e
}
