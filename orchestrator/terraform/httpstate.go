package terraform

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/berth-dev/berth/orchestrator"
)

// httpState is a state behind Terraform's backend "http", which has no command
// to remove one or to say who holds its lock. The names are those of
// https://developer.hashicorp.com/terraform/language/backend/http.
type httpState struct {
	get     func(attribute string) string
	headers map[string]any // OpenTofu's
}

func newHTTPState(b orchestrator.Backend, environmentID string, env map[string]string) httpState {
	attributes, _ := b.For(environmentID)
	headers, _ := attributes["headers"].(map[string]any)
	return httpState{headers: headers, get: func(name string) string {
		if v, ok := attributes[name]; ok {
			return fmt.Sprint(v)
		}
		return env["TF_HTTP_"+strings.ToUpper(name)]
	}}
}

func (s httpState) do(ctx context.Context, method, address, body string) (status int, answer []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	for name, value := range s.headers {
		req.Header.Set(name, fmt.Sprint(value))
	}
	if name := s.get("username"); name != "" {
		req.SetBasicAuth(name, s.get("password"))
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableKeepAlives = true
	transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: s.get("skip_cert_verification") == "true"}
	if pem := s.get("client_ca_certificate_pem"); pem != "" {
		transport.TLSClientConfig.RootCAs = x509.NewCertPool()
		transport.TLSClientConfig.RootCAs.AppendCertsFromPEM([]byte(pem))
	}
	if cert, key := s.get("client_certificate_pem"), s.get("client_private_key_pem"); cert != "" && key != "" {
		pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
		if err != nil {
			return 0, nil, err
		}
		transport.TLSClientConfig.Certificates = []tls.Certificate{pair}
	}
	res, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(res.Body, 1<<20))
	return res.StatusCode, answer, err
}

// removeHTTP asks the server to forget a state; one that does not know how
// keeps it.
func removeHTTP(ctx context.Context, b orchestrator.Backend, environmentID string, env map[string]string) error {
	s := newHTTPState(b, environmentID, env)
	status, _, err := s.do(ctx, http.MethodDelete, s.get("address"), "")
	switch {
	case err != nil:
		return err
	case status == http.StatusNotFound, status == http.StatusGone, status/100 == 2:
		return nil
	}
	return fmt.Errorf("the server of states answered %d", status)
}
