package machines

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// registries are the only hosts outside that a machine can be let through to.
var registries = []string{"deb.debian.org", "pypi.org", "files.pythonhosted.org"}

// registrySocket is a file, which reaches across networks.
const registrySocket = "registries"

// serveRegistries is a proxy to the registries, outside of the sandbox, until
// the process ends.
func serveRegistries(run string) error {
	listener, err := net.Listen("unix", filepath.Join(run, registrySocket))
	if err != nil {
		return err
	}
	plain := &httputil.ReverseProxy{Rewrite: func(*httputil.ProxyRequest) {}}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !slices.Contains(registries, r.URL.Hostname()):
			http.Error(w, "not a registry", http.StatusForbidden)
		case r.Method == http.MethodConnect:
			tunnel(w, r)
		default:
			plain.ServeHTTP(w, r)
		}
	})}
	go func() { _ = server.Serve(listener) }() // as long as the process
	return nil
}

// tunnel connects two sides that speak TLS.
func tunnel(w http.ResponseWriter, r *http.Request) {
	there, err := (&net.Dialer{Timeout: 30 * time.Second}).DialContext(r.Context(), "tcp", net.JoinHostPort(r.URL.Hostname(), "443"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	here, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		there.Close()
		return
	}
	if _, err := io.WriteString(here, "HTTP/1.1 200 OK\r\n\r\n"); err == nil {
		join(here, there)
	}
	here.Close()
	there.Close()
}

// join copies both ways until either side ends.
func join(a, b net.Conn) {
	var both sync.WaitGroup
	for _, pair := range [][2]net.Conn{{a, b}, {b, a}} {
		both.Go(func() {
			_, _ = io.Copy(pair[0], pair[1]) // whoever hangs up
			pair[0].Close()
			pair[1].Close()
		})
	}
	both.Wait()
}

// Registries lets machines reach Debian's packages and PyPI, and nothing else:
// the returned function tells a machine's disk the way, for Prepare. Hosts that
// go out through a proxy of their own are not supported.
func (l *Lab) Registries() (tell func(root string) error) {
	l.t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(Gateway.String(), "0"))
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			here, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer here.Close()
				there, err := (&net.Dialer{}).DialContext(context.Background(), "unix", filepath.Join(l.run, registrySocket))
				if err != nil {
					return
				}
				join(here, there)
			}()
		}
	}()
	proxy := "http://" + listener.Addr().String()
	return func(root string) error {
		// What this host trusts, for its way out may be another one's TLS.
		trusted := os.Getenv("SSL_CERT_FILE")
		if trusted == "" {
			trusted = "/etc/ssl/certs/ca-certificates.crt"
		}
		authorities, err := os.ReadFile(trusted)
		if err != nil {
			return err
		}
		for name, content := range map[string]string{
			"etc/apt/apt.conf.d/90proxy": "Acquire::http::Proxy \"" + proxy + "\";\n",
			"etc/pip.conf":               "[global]\nproxy = " + proxy + "\ncert = /etc/registries.pem\n",
			"etc/registries.pem":         string(authorities),
		} {
			if err := os.WriteFile(filepath.Join(root, name), []byte(content), 0o644); err != nil {
				return err
			}
		}
		return nil
	}
}
