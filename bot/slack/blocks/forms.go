package blocks

import (
	"encoding/json"
	"slices"
	"sort"
	"strings"
	"time"

	slackgo "github.com/slack-go/slack"

	"github.com/berth-dev/berth/bot/view"
	"github.com/berth-dev/berth/orchestrator"
)

// The fields of forms, by block_id: errors are shown at them.
const (
	BlockBlueprint = "blueprint"
	BlockName      = "name"
	BlockTTL       = "ttl"
	BlockSize      = "size"
	BlockTarget    = "target"

	appBlock = "app:"
)

// AppBlock is the field of an app's branch.
func AppBlock(app string) string { return appBlock + app }

// AppOf gives the app whose branch a field is.
func AppOf(blockID string) (string, bool) { return strings.CutPrefix(blockID, appBlock) }

// CreateForm asks for a new environment. Branches are what stands there at
// first, by app; Private comes back with what was filled in.
type CreateForm struct {
	Blueprints, Apps, Sizes, Targets []string
	Blueprint, Name, Size, Target    string
	Branches                         map[string]string
	TTL, Lifetime, MaxLifetime       time.Duration
	Private                          string
}

// View is the form as a modal.
func (f CreateForm) View() slackgo.ModalViewRequest {
	var all []slackgo.Block
	if len(f.Blueprints) > 1 {
		in := menu(BlockBlueprint, "Blueprint", "Which set of apps", f.Blueprints, f.Blueprint)
		in.DispatchAction = true // another blueprint has other apps
		all = append(all, in)
	}
	name := slackgo.NewPlainTextInputBlockElement(label("A name for it"), BlockName)
	name.InitialValue, name.MaxLength = Clip(f.Name, 32), 32
	in := slackgo.NewInputBlock(BlockName, label("Name"), label("Lower-case letters, digits and dashes."), name)
	all = append(all, in)
	all = append(all, branchFields(f.Apps, f.Branches)...)
	all = append(all, lifetimes(f))
	if len(f.Sizes) > 0 {
		in := menu(BlockSize, "Size", "The target's own", f.Sizes, f.Size)
		in.Optional = true
		all = append(all, in)
	}
	if len(f.Targets) > 1 {
		in := menu(BlockTarget, "Target", "Where the servers run", f.Targets, f.Target)
		in.Optional = true
		all = append(all, in)
	}
	return modal("New environment", "Create", view.FormCreate, f.Private, all)
}

// branchFields has a menu of branches for each app, filled as a person types.
func branchFields(apps []string, initial map[string]string) []slackgo.Block {
	var out []slackgo.Block
	for _, app := range apps[:min(len(apps), 60)] {
		pick := slackgo.NewOptionsSelectBlockElement(slackgo.OptTypeExternal, label("A branch"), AppBlock(app))
		zero := 0
		pick.MinQueryLength = &zero
		if b := initial[app]; b != "" && len(b) <= maxOptionID {
			pick.InitialOption = option(b, b)
		}
		out = append(out, slackgo.NewInputBlock(AppBlock(app), label("Branch of "+app), nil, pick))
	}
	return out
}

// lifetimes offers some lifetimes within the longest one.
func lifetimes(f CreateForm) slackgo.Block {
	const day = 24 * time.Hour
	chosen := f.TTL
	if chosen == 0 {
		chosen = f.Lifetime
	}
	all := []time.Duration{4 * time.Hour, 8 * time.Hour, day, 2 * day, 3 * day, 7 * day, 14 * day}
	all = slices.DeleteFunc(all, func(d time.Duration) bool { return f.MaxLifetime > 0 && d > f.MaxLifetime })
	if chosen > 0 && !slices.Contains(all, chosen) {
		all = append(all, chosen)
		slices.Sort(all)
	}
	var options []*slackgo.OptionBlockObject
	var initial *slackgo.OptionBlockObject
	for _, d := range all {
		o := option(view.Duration(d), d.String())
		if options = append(options, o); d == chosen {
			initial = o
		}
	}
	pick := slackgo.NewOptionsSelectBlockElement(slackgo.OptTypeStatic, label("How long"), BlockTTL, options...)
	pick.InitialOption = initial
	return slackgo.NewInputBlock(BlockTTL, label("Lives for"), nil, pick)
}

// DeployForm asks for the branches of an environment's apps.
type DeployForm struct {
	Environment string
	Apps        []string
	Branches    map[string]string
	Private     string
}

// View is the form as a modal.
func (f DeployForm) View() slackgo.ModalViewRequest {
	all := append([]slackgo.Block{section("Deploy to *" + plain(f.Environment) + "*. The same branch again takes its newest commit.")}, branchFields(f.Apps, f.Branches)...)
	return modal("Deploy", "Deploy", view.FormDeploy, f.Private, all)
}

// ExtendForm asks by how long an environment is to live longer.
type ExtendForm struct{ Environment, Private string }

// View is the form as a modal.
func (f ExtendForm) View() slackgo.ModalViewRequest {
	const day = 24 * time.Hour
	var options []*slackgo.OptionBlockObject
	for _, d := range []time.Duration{4 * time.Hour, 12 * time.Hour, day, 2 * day, 3 * day, 7 * day} {
		options = append(options, option(view.Duration(d), d.String()))
	}
	pick := slackgo.NewOptionsSelectBlockElement(slackgo.OptTypeStatic, label("How long"), BlockTTL, options...)
	pick.InitialOption = options[2]
	return modal("Extend", "Extend", view.FormExtend, f.Private, []slackgo.Block{section("How much longer shall *" + plain(f.Environment) + "* live?"),
		slackgo.NewInputBlock(BlockTTL, label("Longer by"), nil, pick)})
}

// Notice is a modal that only says something.
func Notice(title, text string) slackgo.ModalViewRequest {
	m := modal(title, "", "notice", "", sections(plain(Clip(text, maxSection/2))))
	m.Close = label("Close")
	return m
}

func modal(title, submit, callback, private string, all []slackgo.Block) slackgo.ModalViewRequest {
	m := slackgo.ModalViewRequest{Type: slackgo.VTModal, Title: label(Clip(title, 24)), Close: label("Cancel"), CallbackID: actionPrefix + callback,
		PrivateMetadata: private, Blocks: slackgo.Blocks{BlockSet: all[:min(len(all), maxHomeBlocks)]}}
	if submit != "" {
		m.Submit = label(submit)
	}
	return m
}

func label(text string) *slackgo.TextBlockObject {
	return slackgo.NewTextBlockObject(slackgo.PlainTextType, Clip(clean(text), maxButton), false, false)
}

// option is a choice. A long text loses its middle: branches differ at the end.
func option(text, value string) *slackgo.OptionBlockObject {
	r := []rune(clean(text))
	if len(r) > maxOption {
		r = append(append(append([]rune{}, r[:30]...), '…'), r[len(r)-(maxOption-31):]...)
	}
	return slackgo.NewOptionBlockObject(value, slackgo.NewTextBlockObject(slackgo.PlainTextType, string(r), false, false), nil)
}

func menu(block, title, placeholder string, choices []string, chosen string) *slackgo.InputBlock {
	var options []*slackgo.OptionBlockObject
	var initial *slackgo.OptionBlockObject
	for _, c := range choices[:min(len(choices), 100)] {
		o := option(c, c)
		if options = append(options, o); c == chosen {
			initial = o
		}
	}
	pick := slackgo.NewOptionsSelectBlockElement(slackgo.OptTypeStatic, label(placeholder), block, options...)
	pick.InitialOption = initial
	return slackgo.NewInputBlock(block, label(title), nil, pick)
}

// answer is what was filled into a field.
func answer(state *slackgo.ViewState, block string) string {
	if state == nil {
		return ""
	}
	a := state.Values[block][block] // a field's action has the name of its block
	if a.SelectedOption.Value != "" {
		return a.SelectedOption.Value
	}
	return strings.TrimSpace(a.Value)
}

// DecodeCreate reads what was filled into a CreateForm.
func DecodeCreate(state *slackgo.ViewState) orchestrator.Command {
	ttl, _ := time.ParseDuration(answer(state, BlockTTL)) // nothing chosen is zero: the catalog's
	return orchestrator.Command{Noun: orchestrator.NounEnv, Verb: orchestrator.VerbCreate, Environment: strings.ToLower(answer(state, BlockName)),
		Blueprint: answer(state, BlockBlueprint), Size: answer(state, BlockSize), Target: answer(state, BlockTarget), TTL: ttl, Branches: DecodeBranches(state)}
}

// DecodeBranches reads the branches of a form, by app.
func DecodeBranches(state *slackgo.ViewState) map[string]string {
	out := map[string]string{}
	if state == nil {
		return out
	}
	for block := range state.Values {
		if app, ok := AppOf(block); ok {
			if b := answer(state, block); b != "" {
				out[app] = b
			}
		}
	}
	return out
}

// DecodeExtend reads what was chosen in an ExtendForm.
func DecodeExtend(state *slackgo.ViewState) time.Duration {
	d, _ := time.ParseDuration(answer(state, BlockTTL)) // nothing chosen is zero, which is refused
	return d
}

// Suggestions are the branches that fit what was typed, the best first; all of
// them, as far as they fit into an acknowledgement, for nothing typed.
func Suggestions(branches []string, query string) slackgo.OptionsResponse {
	query = strings.ToLower(strings.TrimSpace(query))
	type hit struct {
		name  string
		score int
	}
	var hits []hit
	for _, b := range branches {
		if len(b) > maxOptionID {
			continue // Slack could not give it back
		}
		if s := fit(strings.ToLower(b), query); s >= 0 {
			hits = append(hits, hit{b, s})
		}
	}
	sort.SliceStable(hits, func(i, j int) bool { return hits[i].score < hits[j].score })
	out := slackgo.OptionsResponse{Options: []*slackgo.OptionBlockObject{}}
	for size, i := 0, 0; i < min(len(hits), maxOptions); i++ {
		o := option(hits[i].name, hits[i].name)
		raw, err := json.Marshal(o)
		if size += len(raw) + 1; err != nil || size > 18_000 {
			break
		}
		out.Options = append(out.Options, o)
	}
	return out
}

// fit says how well a branch fits: the smaller the better, -1 not at all.
func fit(branch, query string) int {
	switch {
	case query == "":
		return 0
	case branch == query:
		return 0
	case strings.HasPrefix(branch, query):
		return 1
	case strings.Contains(branch, "/"+query) || strings.Contains(branch, "-"+query):
		return 2
	case strings.Contains(branch, query):
		return 3
	}
	rest := []rune(query)
	for _, r := range branch {
		if len(rest) > 0 && r == rest[0] {
			rest = rest[1:]
		}
	}
	if len(rest) == 0 {
		return 4
	}
	return -1
}
