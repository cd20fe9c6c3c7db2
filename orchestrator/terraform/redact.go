package terraform

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

const hidden = "(sensitive value)"

// settings is what Berth itself needs of a workspace's values file.
type settings struct {
	EnvironmentID string `json:"environment_id"`
	Servers       map[string]struct {
		ID string `json:"id"`
	} `json:"servers"`
	UserData map[string]string `json:"user_data"`
	// secrets are those that Terraform is given by variables.
	secrets []string
}

func readSettings(dir string) (settings, error) {
	var s settings
	err := readJSON(filepath.Join(dir, "terraform.tfvars.json"), &s)
	if os.IsNotExist(err) {
		err = nil
	}
	return s, err
}

// word is a run of characters that can be a token.
var word = lazyregexp.New(`[A-Za-z0-9_+=-]{20,}`)

// redactor hides user-data in texts that Terraform wrote: whole, in JSON, in
// base64, and the tokens in it alone. Terraform quotes a user-data that a
// cloud refuses, and dumps its state when the disk is full. More are other
// secrets, to be hidden whole.
func redactor(s settings, more ...string) func(string) string {
	public := []string{s.EnvironmentID}
	for _, v := range s.Servers {
		public = append(public, v.ID)
	}
	secrets := slices.Concat(s.secrets, more)
	for _, text := range s.UserData {
		if len(text) < 8 {
			continue
		}
		secrets = append(secrets, text, base64.StdEncoding.EncodeToString([]byte(text)), base64.URLEncoding.EncodeToString([]byte(text)))
		for _, w := range word.FindAllString(text, -1) {
			if random(w) && !slices.ContainsFunc(public, func(p string) bool { return p != "" && strings.Contains(w, p) }) {
				secrets = append(secrets, w)
			}
		}
	}
	var pairs []string
	for _, secret := range secrets {
		pairs = append(pairs, secret)
		for _, html := range []bool{false, true} {
			once := quoted(secret, html)
			pairs = append(pairs, once, quoted(once, html))
		}
	}
	// The longest first: a token is part of its user-data.
	slices.SortFunc(pairs, func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	})
	var args []string
	for _, p := range slices.Compact(pairs) {
		args = append(args, p, hidden)
	}
	return strings.NewReplacer(args...).Replace
}

// random reports whether a long word can be a token: letters with digits, or
// letters of one case alone as base32 has them.
func random(w string) bool {
	letters := strings.ContainsFunc(w, unicode.IsLetter)
	return letters && (strings.ContainsAny(w, "0123456789") || strings.ToUpper(w) == w)
}

// quoted is s as it stands within a JSON string; writers differ in whether
// they escape what HTML would trip over.
func quoted(s string, html bool) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(html)
	if e.Encode(s) != nil {
		return s
	}
	out := strings.TrimSuffix(b.String(), "\n")
	return out[1 : len(out)-1]
}
