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
// attributes that hold a secret, with the variable to use instead; needs is what
// it cannot do without, shared are the variables that would put all
// environments in one place, each with the attribute to write instead.
type backendKind struct {
	at, form   string
	more       []string
	apart      []string
	workspaces bool
	refused    map[string]string
	needs      []BackendNeed
	shared     map[string]string
}

// BackendNeed is something that a backend cannot do without: one of the
// attributes, or, where there are some, one of the variables. Given there, it
// looks as in Example. With If it is needed only beside that attribute.
type BackendNeed struct {
	Attributes, Variables []string
	Example, If           string
}

// What the backends need is what Terraform 1.5.7 and OpenTofu 1.12 declare as
// required, but for what Berth sets itself, and what they are of no use without:
// https://developer.hashicorp.com/terraform/language/backend.

var backendKinds = map[string]backendKind{
	"s3": {at: "key", form: "given/" + BackendID + "/terraform.tfstate", apart: []string{"bucket"},
		refused: map[string]string{"web_identity_token": "AWS_WEB_IDENTITY_TOKEN_FILE", "access_key": "AWS_ACCESS_KEY_ID", "secret_key": "AWS_SECRET_ACCESS_KEY", "token": "AWS_SESSION_TOKEN", "sse_customer_key": "AWS_SSE_CUSTOMER_KEY"},
		needs: []BackendNeed{
			{Attributes: []string{"bucket"}, Example: `bucket = "acme-terraform"`},
			{Attributes: []string{"region"}, Variables: []string{"AWS_REGION", "AWS_DEFAULT_REGION"}, Example: `region = "eu-central-1"`},
		}},
	// A workspace's row can be made beforehand. The first apply of a schema
	// without one holds a lock on the whole database.
	"pg": {workspaces: true, refused: map[string]string{},
		needs: []BackendNeed{{Attributes: []string{"conn_str"}, Variables: []string{"PG_CONN_STR", "PGHOST", "PGHOSTADDR", "PGSERVICE"},
			Example: `conn_str = "postgres://db.example.com/berth"`}}},
	"http": {at: "address", form: "given/" + BackendID, more: []string{"lock_address", "unlock_address"},
		refused: map[string]string{"password": "TF_HTTP_PASSWORD", "client_private_key_pem": "TF_HTTP_CLIENT_PRIVATE_KEY_PEM"},
		needs: []BackendNeed{
			{Attributes: []string{"address"}, Example: `address = "https://states.example.com/berth/{id}"`},
			// With one of them alone a lock is never given back, or never taken.
			{Attributes: []string{"unlock_address"}, Example: `unlock_address = "https://states.example.com/berth/{id}/lock"`, If: "lock_address"},
			{Attributes: []string{"lock_address"}, Example: `lock_address = "https://states.example.com/berth/{id}/lock"`, If: "unlock_address"},
		},
		shared: map[string]string{"TF_HTTP_ADDRESS": "address", "TF_HTTP_LOCK_ADDRESS": "lock_address", "TF_HTTP_UNLOCK_ADDRESS": "unlock_address"}},
	"gcs": {at: "prefix", form: "given/" + BackendID, apart: []string{"bucket"},
		refused: map[string]string{"access_token": "GOOGLE_OAUTH_ACCESS_TOKEN", "encryption_key": "GOOGLE_ENCRYPTION_KEY"},
		needs:   []BackendNeed{{Attributes: []string{"bucket"}, Example: `bucket = "acme-terraform"`}}},
	"azurerm": {at: "key", form: "given/" + BackendID + ".tfstate", apart: []string{"container_name", "storage_account_name"},
		refused: map[string]string{"access_key": "ARM_ACCESS_KEY", "sas_token": "ARM_SAS_TOKEN", "client_secret": "ARM_CLIENT_SECRET", "client_certificate_password": "ARM_CLIENT_CERTIFICATE_PASSWORD", "client_certificate": "ARM_CLIENT_CERTIFICATE", "oidc_token": "ARM_OIDC_TOKEN", "oidc_request_token": "ARM_OIDC_REQUEST_TOKEN"},
		needs: []BackendNeed{
			{Attributes: []string{"storage_account_name"}, Example: `storage_account_name = "acmeterraform"`},
			{Attributes: []string{"container_name"}, Example: `container_name = "states"`},
		}},
	"consul": {at: "path", form: "given/" + BackendID,
		refused: map[string]string{"access_token": "CONSUL_HTTP_TOKEN", "http_auth": "CONSUL_HTTP_AUTH"}},
	"kubernetes": {at: "secret_suffix", form: "given-" + BackendID, apart: []string{"namespace"},
		refused: map[string]string{"token": "KUBE_TOKEN", "password": "KUBE_PASSWORD", "client_key": "KUBE_CLIENT_KEY_DATA"},
		// It reads ~/.kube/config only when told to.
		needs: []BackendNeed{{Attributes: []string{"config_path", "config_paths", "in_cluster_config", "host"},
			Variables: []string{"KUBE_CONFIG_PATH", "KUBE_CONFIG_PATHS", "KUBE_IN_CLUSTER_CONFIG", "KUBE_HOST"}, Example: `config_path = "/etc/berth/kube/config"`}}},
}

// secretAttribute is the name of a setting that holds a secret, in backends
// that Berth does not know.
var secretAttribute = lazyregexp.New(`(?i)passw|secret|token|access_key|private_key|client_key|encryption_key|credential`)

// secretWithin is such a name within an attribute: of a setting in an object,
// of a header, of a part of an address.
var secretWithin = lazyregexp.New(`(?i)passw|secret|token|api-?key|access_key|private_key|client_key|encryption_key|credential|authorization|cookie|signature|^sig$`)

// inFile is the name of a setting that says where a secret is.
var inFile = lazyregexp.New(`(?i)[_-](file|path)s?$`)

// RefusedAttribute reports whether a backend's attribute would be a secret in a
// file, and the variable to give it by, where that is known.
func (b Backend) RefusedAttribute(name string) (variable string, refused bool) {
	kind, known := backendKinds[b.Type]
	if known {
		variable, refused = kind.refused[name]
		return variable, refused
	}
	return "", secretAttribute.MatchString(name) && !inFile.MatchString(name)
}

// RefusedWithin is RefusedAttribute for what stands by a name within an
// attribute's value.
func (b Backend) RefusedWithin(name string) (variable string, refused bool) {
	if variable, refused = backendKinds[b.Type].refused[name]; refused {
		return variable, refused
	}
	return "", secretWithin.MatchString(name) && !inFile.MatchString(name)
}

// Lacks gives what the backend needs and has neither in its attributes nor by
// one of the variables that reach Terraform in any case. Of a backend that Berth
// does not know that is nothing.
func (b Backend) Lacks(variables []string) []BackendNeed {
	has := func(name string) bool {
		v, ok := b.Attributes[name]
		return ok && v != nil && v != ""
	}
	var out []BackendNeed
	for _, n := range backendKinds[b.Type].needs {
		met := slices.ContainsFunc(n.Attributes, has) || n.If != "" && !has(n.If) ||
			slices.ContainsFunc(n.Variables, func(name string) bool { return slices.Contains(variables, name) })
		if !met {
			out = append(out, n)
		}
	}
	return out
}

// SharedBy reports whether a variable would put the states, or the locks, of
// all environments in one place, and the attribute to write instead.
func (b Backend) SharedBy(variable string) (attribute string, shared bool) {
	attribute, shared = backendKinds[b.Type].shared[variable]
	return attribute, shared
}

// Placed reports whether the states of environments are told apart: by Berth,
// or by {id} in an attribute.
func (b Backend) Placed() bool {
	_, known := backendKinds[b.Type]
	return known || b.Local() || marked(b.Attributes)
}

// Unplaced names the attributes in which {id} lacks: it stands in another, so
// that Berth adds no ID by itself, and all environments would have one state, or
// one lock.
func (b Backend) Unplaced() (attributes []string) {
	kind := backendKinds[b.Type]
	if kind.at == "" || !marked(b.Attributes) {
		return nil
	}
	told := func(name string) bool { return marked(b.Attributes[name]) }
	if !told(kind.at) && !slices.ContainsFunc(kind.apart, told) {
		attributes = append(attributes, kind.at)
	}
	for _, name := range kind.more {
		if given, ok := b.Attributes[name].(string); ok && given != "" && !told(name) {
			attributes = append(attributes, name)
		}
	}
	return attributes
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
