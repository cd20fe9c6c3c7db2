package awsfake

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// verify computes the request's signature as AWS does (Signature Version 4,
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html), so
// that a wrong secret is refused.
func (c *Cloud) verify(r *http.Request, body []byte) error {
	fields := map[string]string{}
	_, list, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	for field := range strings.SplitSeq(list, ",") {
		k, v, _ := strings.Cut(strings.TrimSpace(field), "=")
		fields[k] = v
	}
	scope := strings.Split(fields["Credential"], "/")
	if len(scope) != 5 {
		return errors.New("no credential")
	}
	payload := r.Header.Get("X-Amz-Content-Sha256")
	if payload == "" {
		payload = digest(body)
	}
	canonical := []string{r.Method, canonicalPath(r.URL, scope[3]), query(r.URL)}
	for name := range strings.SplitSeq(fields["SignedHeaders"], ";") {
		value := strings.Join(r.Header.Values(name), ",")
		switch name {
		case "host":
			value = r.Host
		case "content-length":
			value = r.Header.Get("Content-Length")
			if value == "" {
				value = strconv.FormatInt(r.ContentLength, 10)
			}
		}
		canonical = append(canonical, name+":"+strings.Join(strings.Fields(value), " "))
	}
	canonical = append(canonical, "", fields["SignedHeaders"], payload)
	toSign := strings.Join([]string{"AWS4-HMAC-SHA256", r.Header.Get("X-Amz-Date"), strings.Join(scope[1:], "/"),
		digest([]byte(strings.Join(canonical, "\n")))}, "\n")
	key := []byte("AWS4" + c.secret)
	for _, part := range scope[1:] {
		key = sign(key, part)
	}
	if hex.EncodeToString(sign(key, toSign)) != fields["Signature"] {
		return errors.New("another signature")
	}
	return nil
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func sign(key []byte, text string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

// canonicalPath: a path is encoded once more by every service but S3.
func canonicalPath(u *url.URL, service string) string {
	p := u.EscapedPath()
	if p == "" {
		p = "/"
	}
	if service != "s3" {
		p = (&url.URL{Path: p}).EscapedPath()
	}
	return p
}

func query(u *url.URL) string {
	var pairs []string
	for name, values := range u.Query() {
		for _, v := range values {
			pairs = append(pairs, escape(name)+"="+escape(v))
		}
	}
	slices.Sort(pairs)
	return strings.Join(pairs, "&")
}

func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
