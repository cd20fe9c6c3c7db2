package catalog

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/dotenv"
	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

// maxLockTimeout is a quarter of what an operation may take.
const maxLockTimeout = 30 * time.Minute

// state reads where Terraform keeps its states. Whatever is not Berth's own is
// the backend's, and only Terraform knows whether it is right.
func (l *loader) state(what string, b *hclsyntax.Block) {
	s := orchestrator.Backend{Type: b.Labels[0], Attributes: map[string]any{}, LockTimeout: orchestrator.DefaultLockTimeout}
	place := b.LabelRanges[0]
	switch {
	case !l.cat.State.Local():
		l.at(place, "There is already a block state %q: all states are in one place.", l.cat.State.Type)
		return
	case s.Type == "local":
		l.at(place, "state: without a block, each state is a file in its workspace; leave it out.")
		return
	case s.Type == "remote" || s.Type == "cloud":
		l.at(place, "state: %q runs Terraform elsewhere, which Berth cannot follow. Expected a place for states, such as \"s3\", \"pg\" or \"http\".", s.Type)
		return
	}
	problems := len(l.problems)
	for _, inner := range b.Body.Blocks {
		l.at(inner.TypeRange, "%s: write %s = { … }, with an equals sign.", what, inner.Type)
	}
	for _, name := range sortedAttributes(b.Body) {
		a := b.Body.Attributes[name]
		switch name {
		case "environment":
			s.Environment = l.stateEnvironment(s, a.Expr)
		case "lock_timeout":
			if d, ok := l.duration("lock_timeout", a.Expr); ok {
				if d > maxLockTimeout {
					l.at(a.Expr.Range(), "lock_timeout may be %s at most.", "30m")
				}
				s.LockTimeout = d
			}
		default:
			l.stateAttribute(&s, what, name, a)
		}
	}
	if !s.Placed() {
		l.at(place, "%s: Berth does not know how this backend tells states apart. Write {id}, which becomes each environment's ID, into the attribute that does, such as path = \"berth/{id}\".", what)
	}
	for _, name := range s.Unplaced() {
		where := place
		if a := b.Body.Attributes[name]; a != nil {
			where = a.Expr.Range()
		}
		l.at(where, "%s: %s would be one for all environments, since {id} stands elsewhere. Write {id} into %s too, or nowhere: then Berth adds each environment's ID.", what, name, name)
	}
	l.cat.State = s
	if len(l.problems) == problems { // else what is wrong may be what lacks
		l.refs = append(l.refs, func() { l.stateNeeds(what, place) })
	}
}

// stateNeeds tells what the backend cannot do without.
func (l *loader) stateNeeds(what string, place hcl.Range) {
	s := l.cat.State
	for _, n := range s.Lacks(l.cat.StateVariables()) {
		names := strings.Join(n.Attributes, ", ")
		if last := len(n.Attributes) - 1; last > 0 {
			names = "one of " + strings.Join(n.Attributes[:last], ", ") + " and " + n.Attributes[last]
		}
		beside, instead := "", ""
		if n.If != "" {
			beside = " beside " + n.If
		}
		if len(n.Variables) > 0 {
			instead = fmt.Sprintf("; or give serve %s, and name that in environment = [%q]", n.Variables[0], n.Variables[0])
		}
		l.at(place, "%s needs %s%s. Expected: %s%s.", what, names, beside, n.Example, instead)
	}
	for _, t := range l.cat.Targets {
		for i, name := range t.Environment {
			l.shared(s, name, l.environment[t.Name][i])
		}
	}
}

// shared refuses a variable that would put all environments in one place.
func (l *loader) shared(s orchestrator.Backend, name string, place hcl.Range) bool {
	attribute, shared := s.SharedBy(name)
	if shared {
		l.at(place, "environment: %s would be one address for all environments. Leave it out, and write %s = \"https://…/{id}\" into the block state %q: {id} becomes each environment's ID.", name, attribute, s.Type)
	}
	return shared
}

func (l *loader) stateEnvironment(s orchestrator.Backend, e hclsyntax.Expression) (out []string) {
	names, places, _ := l.list("environment", e)
	for i, name := range names {
		switch {
		case l.shared(s, name, places[i]):
		case !dotenv.IsKey(name):
			l.at(places[i], "environment: %q cannot be the name of an environment variable.", name)
		case strings.HasPrefix(name, "BERTH_"):
			l.at(places[i], "environment: %s belongs to Berth and never reaches Terraform.", name)
		default:
			out = append(out, name)
		}
	}
	return out
}

// passwordWord is a password in a connection string of words.
var passwordWord = lazyregexp.New(`(?i)(^|\s)(password|sslpassword)\s*=`)

// stateAttribute reads one of the backend's own attributes. What may be a
// secret is refused and not repeated.
func (l *loader) stateAttribute(s *orchestrator.Backend, what, name string, a *hclsyntax.Attribute) {
	if variable, refused := s.RefusedAttribute(name); refused {
		if variable == "" {
			variable = "the backend's variable for it"
		}
		l.at(a.NameRange, "%s: %s would be a secret in a file. Leave it out, give serve %s, and name that in environment = […].", what, name, variable)
		return
	}
	v, ok := l.value(name, a.Expr)
	if !ok {
		return
	}
	if variable := secretIn(*s, v); variable != "" {
		l.at(a.Expr.Range(), "%s: %s has a secret in it. Leave it out, give serve %s, and name that in environment = […].", what, name, variable)
		return
	}
	if s.Attributes[name] = native(v); !finite(s.Attributes[name]) {
		l.at(a.Expr.Range(), "%s has a number that is too large.", name)
	}
}

// secretIn finds, anywhere in a value, what only a secret looks like: the
// password of an address or of a connection string, a key file's content, or
// what goes by a secret's name.
func secretIn(s orchestrator.Backend, v cty.Value) (variable string) {
	instead := map[string]string{"pg": "PG_CONN_STR", "http": "TF_HTTP_USERNAME and TF_HTTP_PASSWORD", "gcs": "GOOGLE_CREDENTIALS", "consul": "CONSUL_HTTP_TOKEN"}[s.Type]
	if instead == "" {
		instead = "the backend's variable for it"
	}
	named := func(name string) {
		if own, refused := s.RefusedWithin(name); refused {
			if variable = own; own == "" {
				variable = instead
			}
		}
	}
	_ = cty.Walk(v, func(path cty.Path, v cty.Value) (bool, error) {
		if v.IsNull() || v.Type() != cty.String {
			return true, nil
		}
		for _, step := range path {
			switch step := step.(type) {
			case cty.GetAttrStep:
				named(step.Name)
			case cty.IndexStep:
				if step.Key.Type() == cty.String {
					named(step.Key.AsString())
				}
			}
		}
		text := v.AsString()
		if u, err := url.Parse(text); err == nil && u.Scheme != "" {
			if _, password := u.User.Password(); password || s.Type == "http" && u.User != nil {
				variable = instead
			}
			for name, values := range u.Query() {
				if strings.Join(values, "") != "" {
					named(name)
				}
			}
		} else if err != nil && strings.Contains(text, "://") && strings.Contains(text, "@") {
			variable = instead // no address that can be judged
		}
		if passwordWord.MatchString(text) || strings.Contains(text, "PRIVATE KEY") {
			variable = instead
		}
		return true, nil
	})
	return variable
}
