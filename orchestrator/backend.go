package orchestrator

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

// Backend says where Terraform keeps the records of the machines it made: one
// of Terraform's backends with its settings, which are literals, or, when Type
// is empty, a file in each workspace. Environment names the only variables of
// serve's environment that it gets besides the target's: its secrets come by
// these alone.
type Backend struct {
	Type        string         `json:"type,omitempty"`
	Attributes  map[string]any `json:"attributes,omitempty"`
	Environment []string       `json:"environment,omitempty"`
	// LockTimeout is how long a run waits for another one's lock.
	LockTimeout time.Duration `json:"lock_timeout,omitempty"`
}

// Local reports whether records are files in the workspaces.
func (b Backend) Local() bool { return b.Type == "" }

// BackendID stands, in a text of a backend's settings, for the environment's
// immutable ID.
const BackendID = "{id}"

// DefaultLockTimeout is how long a run waits for a lock.
const DefaultLockTimeout = 2 * time.Minute

// backendKind is what Berth knows of one of Terraform's backends. At is the
// attribute that tells states apart, form how the ID is joined to what the
// catalog says of it (given), which is otherwise "berth"; more are attributes
// that go the same way, where they are given. Workspaces: states are told
// apart by the name of Terraform's workspace, and at is empty. Refused are the
// attributes that hold a secret, with the variable to use instead.
type backendKind struct {
	at, form   string
	more       []string
	workspaces bool
	refused    map[string]string
}

var backendKinds = map[string]backendKind{
	"s3": {at: "key", form: "given/" + BackendID + "/terraform.tfstate",
		refused: map[string]string{"access_key": "AWS_ACCESS_KEY_ID", "secret_key": "AWS_SECRET_ACCESS_KEY", "token": "AWS_SESSION_TOKEN", "sse_customer_key": "AWS_SSE_CUSTOMER_KEY"}},
	// A workspace's row can be made beforehand. The first apply of a schema
	// without one holds a lock on the whole database.
	"pg": {workspaces: true, refused: map[string]string{}},
	"http": {at: "address", form: "given/" + BackendID, more: []string{"lock_address", "unlock_address"},
		refused: map[string]string{"password": "TF_HTTP_PASSWORD", "client_private_key_pem": "TF_HTTP_CLIENT_PRIVATE_KEY_PEM"}},
	"gcs": {at: "prefix", form: "given/" + BackendID,
		refused: map[string]string{"access_token": "GOOGLE_OAUTH_ACCESS_TOKEN", "encryption_key": "GOOGLE_ENCRYPTION_KEY"}},
	"azurerm": {at: "key", form: "given/" + BackendID + ".tfstate",
		refused: map[string]string{"access_key": "ARM_ACCESS_KEY", "sas_token": "ARM_SAS_TOKEN", "client_secret": "ARM_CLIENT_SECRET", "client_certificate_password": "ARM_CLIENT_CERTIFICATE_PASSWORD", "client_certificate": "ARM_CLIENT_CERTIFICATE", "oidc_token": "ARM_OIDC_TOKEN", "oidc_request_token": "ARM_OIDC_REQUEST_TOKEN"}},
	"consul": {at: "path", form: "given/" + BackendID,
		refused: map[string]string{"access_token": "CONSUL_HTTP_TOKEN", "http_auth": "CONSUL_HTTP_AUTH"}},
	"kubernetes": {at: "secret_suffix", form: "given-" + BackendID,
		refused: map[string]string{"token": "KUBE_TOKEN", "password": "KUBE_PASSWORD", "client_key": "KUBE_CLIENT_KEY_DATA"}},
}

// secretAttribute is the name of a setting that holds a secret, in backends
// that Berth does not know.
var secretAttribute = lazyregexp.New(`(?i)passw|secret|token|access_key|private_key|client_key|encryption_key|credential`)

// RefusedAttribute reports whether a backend's attribute would be a secret in a
// file, and the variable to give it by, where that is known.
func (b Backend) RefusedAttribute(name string) (variable string, refused bool) {
	kind, known := backendKinds[b.Type]
	if known {
		variable, refused = kind.refused[name]
		return variable, refused
	}
	return "", secretAttribute.MatchString(name)
}

// Placed reports whether the states of environments are told apart: by Berth,
// or by {id} in an attribute.
func (b Backend) Placed() bool {
	_, known := backendKinds[b.Type]
	return known || b.Local() || marked(b.Attributes)
}

func marked(v any) bool {
	switch v := v.(type) {
	case string:
		return strings.Contains(v, BackendID)
	case []any:
		return slices.ContainsFunc(v, marked)
	case map[string]any:
		for _, item := range v {
			if marked(item) {
				return true
			}
		}
	}
	return false
}

// For gives the settings of one environment's state, and the Terraform
// workspace that it has to itself ("" for the default one).
func (b Backend) For(environmentID string) (attributes map[string]any, workspace string) {
	kind := backendKinds[b.Type]
	attributes = map[string]any{}
	maps.Copy(attributes, b.Attributes)
	switch {
	case kind.workspaces:
		workspace = environmentID
	case kind.at != "" && !marked(b.Attributes):
		given, _ := attributes[kind.at].(string)
		if given == "" {
			given = "berth"
		}
		attributes[kind.at] = fill(kind.form, given)
		for _, name := range kind.more {
			if given, ok := attributes[name].(string); ok {
				attributes[name] = fill(kind.form, given)
			}
		}
	}
	for name, v := range attributes {
		attributes[name] = withID(v, environmentID)
	}
	return attributes, workspace
}

func fill(form, given string) string {
	return strings.Replace(form, "given", strings.TrimRight(given, "/"), 1)
}

func withID(v any, id string) any {
	switch v := v.(type) {
	case string:
		return strings.ReplaceAll(v, BackendID, id)
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = withID(item, id)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, item := range v {
			out[key] = withID(item, id)
		}
		return out
	}
	return v
}

// Removable gives the same state as that of a Terraform workspace of its own,
// which Terraform can delete; ok is false where that cannot be said.
func (b Backend) Removable(environmentID string) (attributes map[string]any, workspace string, ok bool) {
	attributes, workspace = b.For(environmentID)
	if workspace != "" {
		return attributes, workspace, true
	}
	if b.Type != "s3" {
		return nil, "", false
	}
	// The backend joins prefix, workspace and key by slashes.
	key, _ := attributes["key"].(string)
	prefix, name, ok := strings.Cut(key, "/"+environmentID+"/")
	if !ok || prefix == "" || name == "" || strings.Contains(prefix+name, environmentID) {
		return nil, "", false
	}
	attributes["workspace_key_prefix"], attributes["key"] = prefix, name
	return attributes, environmentID, true
}

// Where names the place for people, without anything that could be a secret.
func (b Backend) Where() string {
	if b.Local() {
		return "a file in the workspace"
	}
	for _, name := range []string{"bucket", "address", "container_name", "path", "schema_name"} {
		if s, ok := b.Attributes[name].(string); ok {
			return fmt.Sprintf("%s (%s %s)", b.Type, name, s)
		}
	}
	return b.Type
}
