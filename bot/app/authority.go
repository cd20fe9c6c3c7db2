package app

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/berth-dev/berth/orchestrator"
)

// How long what Berth makes for itself holds. Servers pin the authority, so it
// has to outlive them; what the network is shown is made anew long before its
// end.
const (
	authorityLife = 10 * 365 * 24 * time.Hour
	leafLife      = 90 * 24 * time.Hour
	leafRenewal   = 30 * 24 * time.Hour // before its end
	// authorityEnds is when ops are told of the authority's end.
	authorityEnds = 365 * 24 * time.Hour
)

// The files of Berth's own authority, in the folder tls of its data folder.
const (
	authorityCert = "ca.pem"
	authorityKey  = "ca.key"
)

// authority is Berth's own certificate authority, for a serve that was given no
// certificate: servers pin it. It exists so that an installation needs no
// public name; browsers and Slack do not believe it.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	path string // of its certificate
	// hosts are what its certificate for serve is for.
	hosts []string
	now   func() time.Time
	log   *slog.Logger

	mu   sync.Mutex
	leaf *tls.Certificate
}

// authorityPath is where the authority's certificate lies in a data folder.
func authorityPath(data string) string { return filepath.Join(data, "tls", authorityCert) }

// openAuthority reads the authority of a data folder and makes it at the first
// start.
func openAuthority(data string, hosts []string, now func() time.Time, log *slog.Logger) (*authority, error) {
	a := &authority{path: authorityPath(data), hosts: hosts, now: now, log: log}
	if _, err := os.Stat(filepath.Dir(a.path)); errors.Is(err, fs.ErrNotExist) {
		if err := a.make(data); err != nil {
			return nil, dataError(data, err)
		}
		log.Info("made Berth's own certificate authority: servers believe it alone", "file", a.path, "until", a.cert.NotAfter.Format(time.DateOnly))
	}
	var err error
	if a.cert, a.key, err = readOwnAuthority(data); err != nil {
		return nil, err
	}
	if err := a.ended(); err != nil {
		return nil, err
	}
	if a.cert.NotAfter.Sub(now()) < authorityEnds {
		log.Warn("Berth's own certificate authority comes to its end: servers made until then must be replaced after a new one was made", "file", a.path, "until", a.cert.NotAfter)
	}
	_, err = a.current(nil)
	return a, err
}

// readOwnAuthority reads what make has written.
func readOwnAuthority(data string) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	certFile, keyFile := authorityPath(data), filepath.Join(data, "tls", authorityKey)
	damaged := func(why error) error {
		e := orchestrator.Errorf(orchestrator.CodeState, "Berth's own certificate authority, %s and %s, cannot be used (%v).", certFile, keyFile, reason(why)).
			WithHint("bring both back from a backup; or remove both, and Berth makes a new one: servers on other machines do not follow it and have to be made anew")
		e.Cause = why
		return e
	}
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, nil, damaged(err)
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok || !pair.Leaf.IsCA {
		return nil, nil, damaged(errors.New("this is no authority of Berth's"))
	}
	return pair.Leaf, key, nil
}

// make makes an authority and keeps it. The folder appears as a whole: half of
// it, after a crash, would look damaged.
func (a *authority) make(data string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	now := a.now()
	der, err := sign(&x509.Certificate{
		// A name of its own, so that two Berths in one list stay two.
		Subject:   pkix.Name{CommonName: "Berth " + rand.Text()[:8]},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(authorityLife),
		IsCA: true, MaxPathLenZero: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}, nil, key, key)
	if err != nil {
		return err
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		return err
	}
	a.key = key
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	temp, err := os.MkdirTemp(data, ".tls-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	if err := writeFile(filepath.Join(temp, authorityKey), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})), 0o600); err != nil {
		return err
	}
	if err := writeFile(filepath.Join(temp, authorityCert), a.pem(), 0o644); err != nil {
		return err
	}
	// The certificate is for everybody, and clients on this machine read it.
	if err := os.Chmod(temp, 0o711); err != nil {
		return err
	}
	return os.Rename(temp, filepath.Join(data, "tls"))
}

// sign makes a certificate; by is nil for one that signs itself.
func sign(c, by *x509.Certificate, key, signer *ecdsa.PrivateKey) ([]byte, error) {
	if by == nil {
		by = c
	}
	return x509.CreateCertificate(rand.Reader, c, by, key.Public(), signer)
}

func (a *authority) ended() error {
	if a.now().Before(a.cert.NotAfter) {
		return nil
	}
	return orchestrator.Errorf(orchestrator.CodeState, "Berth's own certificate authority %s has come to its end on %s.", a.path, a.cert.NotAfter.Format(time.DateOnly)).
		WithHint("remove it and its key, and Berth makes a new one: servers on other machines do not follow it and have to be made anew")
}

// pem is what servers pin.
func (a *authority) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}))
}

// fingerprint is the certificate's SHA-256, as people compare it.
func fingerprint(c *x509.Certificate) string { return fmt.Sprintf("%x", sha256.Sum256(c.Raw)) }

// current is tls.Config.GetCertificate: it makes the certificate anew before
// its end. It lies in memory alone, for it costs nothing to make.
func (a *authority) current(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	if a.leaf != nil && a.leaf.Leaf.NotAfter.Sub(now) > leafRenewal {
		return a.leaf, nil
	}
	leaf, err := a.issue(now)
	switch {
	case err == nil:
		a.leaf = leaf
	case a.leaf == nil:
		return nil, err
	default:
		a.log.Error("Berth's certificate could not be made anew", "error", err)
	}
	return a.leaf, nil
}

func (a *authority) issue(now time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	end := now.Add(leafLife)
	if end.After(a.cert.NotAfter) {
		end = a.cert.NotAfter
	}
	c := &x509.Certificate{Subject: pkix.Name{CommonName: "Berth"}, NotBefore: now.Add(-time.Hour), NotAfter: end,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	for _, h := range a.hosts {
		if ip := net.ParseIP(h); ip != nil {
			c.IPAddresses = append(c.IPAddresses, ip)
		} else {
			c.DNSNames = append(c.DNSNames, h)
		}
	}
	der, err := sign(c, a.cert, key, a.key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: key, Leaf: leaf}, nil
}

// config is TLS with the authority's certificate as it is at each handshake.
func (a *authority) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: a.current}
}

// ownHosts are the names that Berth's own certificate is for: where servers
// call, where it listens, and this machine itself.
func ownHosts(publicURL, listen string) ([]string, error) {
	u, err := url.Parse(publicURL)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" {
		return nil, orchestrator.Errorf(orchestrator.CodeInvalidValue, "%q is not the https address at which servers reach Berth.", publicURL).
			WithHint("--public-url https://berth.example.com")
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil && ip.IsUnspecified() {
		return nil, orchestrator.Errorf(orchestrator.CodeInvalidValue, "Servers cannot call Berth at %s, which is every address of this machine and none of any other.", u.Host).
			WithHint("--public-url https://HOST:PORT, with the name or address by which servers reach this machine")
	}
	hosts := []string{u.Hostname()}
	if host, _, err := net.SplitHostPort(listen); err == nil && host != "" {
		if ip, err := netip.ParseAddr(host); err != nil || !ip.IsUnspecified() {
			hosts = append(hosts, host)
		}
	}
	hosts = append(hosts, "localhost", "127.0.0.1", "::1")
	slices.Sort(hosts)
	return slices.Compact(hosts), nil
}

// ownAuthority says whether serve makes its own certificate: it listens beyond
// this machine, and neither it nor a proxy was given one.
func ownAuthority(o serveOptions) bool {
	return o.TLSCert == "" && !o.BehindProxy && !loopbackListen(o.Listen)
}

func loopbackListen(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return false
	}
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}
