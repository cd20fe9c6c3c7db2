package orchestrator

import (
	"encoding/base64"
	"net/url"
	"regexp"
	"slices"
	"sort"
	"strings"
)

// secretKey matches names whose values are secret however short they are.
var secretKey = regexp.MustCompile(`(?i)(pass|secret|token|key|credential|private|auth|dsn|salt$)`)

// urlPassword matches the password of a URL.
var urlPassword = regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://[^\s/:@]*):[^\s/@]+@`)

const masked = "••••"

// Masker gives a function that hides, in any text, passwords in URLs and those
// values that are secret: every one of eight characters or more and every one
// whose key looks secret, also in URL and base64 encoding. Keys in public are
// left alone.
func Masker(values map[string]string, public []string) func(string) string {
	var secrets []string
	for key, value := range values {
		if value == "" || slices.Contains(public, key) || len(value) < 8 && !secretKey.MatchString(key) {
			continue
		}
		secrets = append(secrets, value, url.QueryEscape(value), url.PathEscape(value),
			base64.StdEncoding.EncodeToString([]byte(value)), base64.URLEncoding.EncodeToString([]byte(value)))
	}
	// The longest first: one secret may be a part of another.
	sort.Slice(secrets, func(i, j int) bool {
		if len(secrets[i]) != len(secrets[j]) {
			return len(secrets[i]) > len(secrets[j])
		}
		return secrets[i] < secrets[j]
	})
	pairs := make([]string, 0, 2*len(secrets))
	for _, s := range slices.Compact(secrets) {
		pairs = append(pairs, s, masked)
	}
	replacer := strings.NewReplacer(pairs...)
	return func(text string) string {
		return urlPassword.ReplaceAllString(replacer.Replace(text), "$1:"+masked+"@")
	}
}

// maskerOf hides an app's settings; settings that cannot be read hide nothing
// but URL passwords.
func maskerOf(a App, settings SettingsReader) func(string) string {
	if a.Settings == "" || settings == nil {
		return Masker(nil, nil)
	}
	_, values, err := settings(a.Settings)
	if err != nil {
		return Masker(nil, nil)
	}
	return Masker(values, a.Public)
}
