package bot

import (
	"maps"
	"strings"

	o "github.com/berth-dev/berth/orchestrator"
)

// Corrected is what was probably meant where e is about a name that there is
// not: the canonical text of cmd with each near name in its place. It is empty
// where more than one thing is wrong, or where no near name is known.
func Corrected(e *o.Error, cmd o.Command) []string {
	if len(e.All) > 0 {
		return correctedAll(e.All, cmd)
	}
	put := replacement(e, cmd)
	if put == nil {
		return nil
	}
	var out []string
	for _, name := range e.Suggestions {
		c := cmd
		put(&c, name)
		out = append(out, Canonical(c))
	}
	return out
}

// correctedAll puts the nearest name of each of several errors into cmd.
func correctedAll(all []*o.Error, cmd o.Command) []string {
	for _, e := range all {
		put := replacement(e, cmd)
		if put == nil || len(e.Suggestions) == 0 {
			return nil
		}
		put(&cmd, e.Suggestions[0])
	}
	return []string{Canonical(cmd)}
}

// replacement puts a near name into a command, or is nil.
func replacement(e *o.Error, cmd o.Command) func(c *o.Command, name string) {
	switch e.Code {
	case o.CodeBlueprintUnknown:
		return func(c *o.Command, name string) { c.Blueprint = name }
	case o.CodeSizeUnknown:
		return func(c *o.Command, name string) { c.Size = name }
	case o.CodeTargetUnknown:
		return func(c *o.Command, name string) { c.Target = name }
	case o.CodeBranchNotFound:
		if app, ok := wrongBranch(e, cmd); ok {
			return func(c *o.Command, name string) {
				c.Branches = maps.Clone(cmd.Branches)
				if c.Branches == nil {
					c.Branches = map[string]string{}
				}
				c.Branches[app] = name
			}
		}
	case o.CodeAppUnknown:
		if app := e.Subject.App; app != "" && named(cmd, app) {
			return putApp(cmd, app)
		}
		var found []string
		for app := range cmd.Branches {
			if strings.Contains(e.Message, `"`+app+`"`) {
				found = append(found, app)
			}
		}
		if len(found) == 0 && cmd.App != "" && strings.Contains(e.Message, `"`+cmd.App+`"`) {
			found = []string{cmd.App}
		}
		if len(found) == 1 {
			return putApp(cmd, found[0])
		}
	}
	return nil
}

func named(cmd o.Command, app string) bool {
	_, ok := cmd.Branches[app]
	return ok || cmd.App == app
}

func putApp(cmd o.Command, app string) func(c *o.Command, name string) {
	return func(c *o.Command, name string) {
		if ref, ok := cmd.Branches[app]; ok {
			c.Branches = maps.Clone(cmd.Branches)
			delete(c.Branches, app)
			c.Branches[name] = ref
		}
		if c.App == app {
			c.App = name
		}
	}
}

// wrongBranch is the key of the one branch that an error is about. A Berth of
// an older version only says so in the message.
func wrongBranch(e *o.Error, cmd o.Command) (string, bool) {
	if app := e.Subject.App; app != "" {
		if _, ok := cmd.Branches[""]; ok && cmd.Noun == o.NounServer {
			app = ""
		}
		// Only a new environment takes branches from the catalog, in whose place
		// one can be named; what runs keeps its own.
		return app, named(cmd, app) || cmd.Verb == o.VerbCreate || cmd.Verb == o.VerbPlan
	}
	var found []string
	for app, ref := range cmd.Branches {
		if strings.Contains(e.Message, ref) {
			found = append(found, app)
		}
	}
	if len(found) != 1 {
		return "", false // more than one thing is wrong
	}
	return found[0], true
}
