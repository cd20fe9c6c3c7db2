package app

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/berth-dev/berth/orchestrator"
)

// certificate is what serve shows on the network. The files are read again
// when they change, so that a renewed certificate needs no restart.
type certificate struct {
	cert, key string // paths
	log       *slog.Logger

	mu       sync.Mutex
	loaded   *tls.Certificate
	modified [2]time.Time
}

// openCertificate reads a certificate and its key.
func openCertificate(cert, key string, log *slog.Logger) (*certificate, error) {
	c := &certificate{cert: cert, key: key, log: log}
	for _, name := range []string{cert, key} {
		f, err := os.Open(name)
		if err != nil {
			return nil, orchestrator.Errorf(orchestrator.CodeInvalidValue, "The file %s cannot be read (%v).", name, reason(err)).
				WithHint("check --tls-cert and --tls-key")
		}
		f.Close()
	}
	var err error
	if c.modified, err = c.times(); err == nil {
		c.loaded, err = c.load()
	}
	if err != nil {
		return nil, orchestrator.Errorf(orchestrator.CodeInvalidValue, "%s and %s are no certificate with its key (%v).", cert, key, err).
			WithHint("both are in PEM form, the server's own certificate first: check --tls-cert and --tls-key")
	}
	if leaf := c.loaded.Leaf; now().After(leaf.NotAfter) {
		log.Warn("the certificate has expired: servers and clients refuse it", "file", cert, "on", leaf.NotAfter)
	}
	return c, nil
}

func (c *certificate) times() (t [2]time.Time, err error) {
	for i, name := range []string{c.cert, c.key} {
		info, err := os.Stat(name)
		if err != nil {
			return t, err
		}
		t[i] = info.ModTime()
	}
	return t, nil
}

func (c *certificate) load() (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	return &pair, err
}

// current is tls.Config.GetCertificate. What is half-written is passed over:
// the last good certificate stays.
func (c *certificate) current(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	times, err := c.times()
	if err != nil || times == c.modified {
		return c.loaded, nil
	}
	c.modified = times
	if pair, err := c.load(); err != nil {
		c.log.Error("the certificate was changed and cannot be read: the last good one stays in force", "file", c.cert, "error", err)
	} else {
		c.loaded = pair
		c.log.Info("the certificate has been read again", "file", c.cert, "expires", pair.Leaf.NotAfter)
	}
	return c.loaded, nil
}

// covers refuses an address that the certificate is not for: every server
// would be made in vain.
func (c *certificate) covers(publicURL string) error {
	u, err := url.Parse(publicURL)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" {
		return orchestrator.Errorf(orchestrator.CodeInvalidValue, "%q is not the https address at which servers reach Berth.", publicURL).
			WithHint("--public-url https://berth.example.com")
	}
	leaf := c.loaded.Leaf
	if leaf.VerifyHostname(u.Hostname()) == nil {
		return nil
	}
	names := leaf.DNSNames
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		return orchestrator.Errorf(orchestrator.CodeInvalidValue, "The certificate %s names no host, so nobody could check it.", c.cert).
			WithHint("make one whose subject alternative name is Berth's host")
	}
	name := names[0]
	if _, port, err := net.SplitHostPort(u.Host); err == nil && port != "443" {
		name = net.JoinHostPort(name, port)
	}
	return orchestrator.Errorf(orchestrator.CodeInvalidValue, "The certificate %s is for %s and not for %s, where servers call Berth.", c.cert, strings.Join(names, " and "), u.Hostname()).
		WithHint("--public-url https://%s, or a certificate for %s", name, u.Hostname())
}

// pins gives what agents trust beside nothing else, as PEM: the authority in
// caFile, else the one that issued the certificate. Empty is this machine's
// own authorities, which know it already: the intermediates of a public
// authority change with every renewal and are never pinned.
func pins(c *certificate, caFile string) (string, error) {
	if caFile != "" {
		return readAuthority(caFile)
	}
	if c == nil {
		return "", nil
	}
	var chain []*x509.Certificate
	between := x509.NewCertPool()
	for _, der := range c.loaded.Certificate {
		one, err := x509.ParseCertificate(der)
		if err != nil {
			return "", fmt.Errorf("reading %s: %w", c.cert, err)
		}
		chain = append(chain, one)
		between.AddCert(one)
	}
	leaf, top := chain[0], chain[len(chain)-1]
	at := leaf.NotBefore // an expired one is another matter
	if _, err := leaf.Verify(x509.VerifyOptions{Intermediates: between, CurrentTime: at}); err == nil {
		return "", nil
	}
	roots := x509.NewCertPool()
	roots.AddCert(top)
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: at}); err == nil && (len(chain) > 1 || selfSigned(leaf)) {
		return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: top.Raw})), nil
	}
	return "", orchestrator.Errorf(orchestrator.CodeInvalidValue, "The certificate %s was issued by %q, which this machine does not know: servers could not check it.", c.cert, leaf.Issuer.String()).
		WithHint("give the authority's own certificate with --tls-ca, or put it behind the other one into the file")
}

func selfSigned(c *x509.Certificate) bool {
	return bytes.Equal(c.RawIssuer, c.RawSubject) && c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}

// readAuthority reads the certificates of a PEM file, and nothing else of it:
// a key that lies in it must not go to every server.
func readAuthority(name string) (string, error) {
	raw, err := os.ReadFile(name)
	if err != nil {
		return "", orchestrator.Errorf(orchestrator.CodeInvalidValue, "The authority's certificate %s cannot be read (%v).", name, reason(err)).WithHint("check --tls-ca")
	}
	var out bytes.Buffer
	for block, rest := pem.Decode(raw); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return "", orchestrator.Errorf(orchestrator.CodeInvalidValue, "%s holds a certificate that cannot be read (%v).", name, err).WithHint("check --tls-ca")
		}
		_ = pem.Encode(&out, &pem.Block{Type: block.Type, Bytes: block.Bytes}) // a buffer takes everything
	}
	if out.Len() == 0 {
		return "", orchestrator.Errorf(orchestrator.CodeInvalidValue, "%s holds no certificate in PEM form.", name).WithHint("check --tls-ca")
	}
	return out.String(), nil
}

// proven refuses a certificate that what agents pin does not vouch for: all of
// them would turn away.
func (c *certificate) proven(ca string) error {
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(ca))
	for _, der := range c.loaded.Certificate {
		if one, err := x509.ParseCertificate(der); err == nil {
			between.AddCert(one)
		}
	}
	leaf := c.loaded.Leaf
	var unknown x509.UnknownAuthorityError
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: leaf.NotBefore}); errors.As(err, &unknown) {
		return orchestrator.Errorf(orchestrator.CodeInvalidValue, "The certificate %s was issued by %q, and not by the authority of --tls-ca.", c.cert, leaf.Issuer.String()).
			WithHint("give the certificate of the authority that issued it")
	} else if err != nil {
		return orchestrator.Errorf(orchestrator.CodeInvalidValue, "The certificate %s does not hold against the authority of --tls-ca (%v).", c.cert, err)
	}
	return nil
}

// config is TLS with the certificate as it is at each handshake.
func (c *certificate) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.current}
}

// openTLS gives what the network is shown, nil without TLS, and what agents
// pin; it refuses what agents would turn away from.
func openTLS(o serveOptions, log *slog.Logger) (shown *tls.Config, ca string, err error) {
	if ownAuthority(o) {
		hosts, err := ownHosts(o.PublicURL, o.Listen)
		if err != nil {
			return nil, "", err
		}
		a, err := openAuthority(o.Data, hosts, now, log)
		if err != nil {
			return nil, "", err
		}
		log.Info("Berth is its own certificate authority; other machines' clients name it with BERTH_CA", "file", a.path, "sha256", fingerprint(a.cert))
		return a.config(), a.pem(), nil
	}
	var c *certificate
	if o.TLSCert != "" {
		if c, err = openCertificate(o.TLSCert, o.TLSKey, log); err != nil {
			return nil, "", err
		}
		if err := c.covers(o.PublicURL); err != nil {
			return nil, "", err
		}
		shown = c.config()
	}
	if ca, err = pins(c, o.TLSCA); err != nil {
		return nil, "", err
	}
	if c != nil && o.TLSCA != "" {
		return shown, ca, c.proven(ca)
	}
	return shown, ca, nil
}
