package blocks

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	slackgo "github.com/slack-go/slack"

	"github.com/berth-dev/berth/bot/view"
	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

// The fields of forms, by block_id and action_id: errors are shown at them.
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
	if in := menu(BlockBlueprint, "Blueprint", "Which set of apps", f.Blueprints, f.Blueprint); in != nil && len(f.Blueprints) > 1 {
		in.DispatchAction = true // another blueprint has other apps
		all = append(all, in)
	}
	name := slackgo.NewPlainTextInputBlockElement(label("A name for it"), BlockName)
	name.MaxLength = 32
	if len(f.Name) <= name.MaxLength { // half a name would be another one
		name.InitialValue = oneLine(f.Name)
	}
	in := slackgo.NewInputBlock(BlockName, label("Name"), label("Lower-case letters, digits and dashes; it begins with a letter."), name)
	all = append(all, in)
	const others = 6 // blocks besides branches, and the note
	branches := branchFields(f.Apps, f.Branches)
	all = append(all, crowded(branches, maxViewBlocks-others)...)
	all = append(all, lifetimes(f))
	if in := menu(BlockSize, "Size", "The target's own", f.Sizes, f.Size); in != nil {
		in.Optional = true
		all = append(all, in)
	}
	if in := menu(BlockTarget, "Target", "Where the servers run", f.Targets, f.Target); in != nil && len(f.Targets) > 1 {
		in.Optional = true
		all = append(all, in)
	}
	return modal("New environment", "Create", view.FormCreate, f.Private, all)
}

// branchFields has a menu of branches for each app, filled as a person types.
func branchFields(apps []string, initial map[string]string) []slackgo.Block {
	var out []slackgo.Block
	var seen []string
	for _, app := range apps {
		if len(AppBlock(app)) > maxID || slices.Contains(seen, app) {
			continue // it takes the catalog's branch
		}
		seen = append(seen, app)
		pick := slackgo.NewOptionsSelectBlockElement(slackgo.OptTypeExternal, label("A branch"), AppBlock(app))
		zero := 0
		pick.MinQueryLength = &zero
		if b := initial[app]; selectable(b) {
			pick.InitialOption = option(b, b)
		}
		out = append(out, slackgo.NewInputBlock(AppBlock(app), label("Branch of "+Clip(oneLine(app), maxButton-10)), nil, pick))
	}
	return out
}

// lifetimes offers some lifetimes within the longest one.
func lifetimes(f CreateForm) slackgo.Block {
	const day = 24 * time.Hour
	chosen := f.TTL
	if chosen <= 0 {
		chosen = f.Lifetime
	}
	if f.MaxLifetime > 0 {
		chosen = min(chosen, f.MaxLifetime)
	}
	all := []time.Duration{4 * time.Hour, 8 * time.Hour, day, 2 * day, 3 * day, 7 * day, 14 * day}
	for _, d := range []time.Duration{chosen, f.Lifetime, f.MaxLifetime} {
		if d > 0 && !slices.Contains(all, d) {
			all = append(all, d)
		}
	}
	all = slices.DeleteFunc(all, func(d time.Duration) bool { return f.MaxLifetime > 0 && d > f.MaxLifetime })
	slices.Sort(all)
	var options []*slackgo.OptionBlockObject
	var initial *slackgo.OptionBlockObject
	for _, d := range all {
		text := view.Duration(d)
		if d == f.Lifetime {
			text += " (the usual)"
		}
		o := option(text, d.String())
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
	all := append([]slackgo.Block{about("Deploy to ", f.Environment, ". The same branch again takes its newest commit.")},
		crowded(branchFields(f.Apps, f.Branches), maxViewBlocks-2)...)
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
	return modal("Extend", "Extend", view.FormExtend, f.Private, []slackgo.Block{about("How much longer shall ", f.Environment, " live?"),
		slackgo.NewInputBlock(BlockTTL, label("Longer by"), nil, pick)})
}

// Notice is a modal that only says something.
func Notice(title, text string) slackgo.ModalViewRequest {
	said := plainMarkup(text, maxSection)
	if blank(said) {
		said = "–"
	}
	m := modal(title, "", "notice", "", []slackgo.Block{section(said)})
	m.Close = label("Close")
	return m
}

func modal(title, submit, callback, private string, all []slackgo.Block) slackgo.ModalViewRequest {
	m := slackgo.ModalViewRequest{Type: slackgo.VTModal, Title: plainText(title, maxTitle), Close: label("Cancel"), CallbackID: actionPrefix + callback,
		PrivateMetadata: private, Blocks: slackgo.Blocks{BlockSet: all}}
	if submit != "" {
		m.Submit = label(submit)
	}
	return m
}

func label(text string) *slackgo.TextBlockObject { return plainText(text, maxButton) }

// about is a sentence with an environment's name in it.
func about(before, name, after string) slackgo.Block {
	return section(mrkdwn([]view.Span{{Text: before}, {Text: Clip(oneLine(name), 100), Strong: true}, {Text: after}}, Options{}, maxSection))
}

// crowded keeps as many fields as a modal has room for, and says so.
func crowded(all []slackgo.Block, most int) []slackgo.Block {
	if len(all) <= most {
		return all
	}
	return append(all[:most:most], note(fmt.Sprintf("… and %d more that do not fit here; they can be typed.", len(all)-most)))
}

// selectable reports whether a menu can carry s and give it back.
func selectable(s string) bool { return s != "" && len(s) <= maxOptionValue && utf8.ValidString(s) }

// option is a choice. A long text loses its middle: branches differ at the end.
func option(text, value string) *slackgo.OptionBlockObject {
	return slackgo.NewOptionBlockObject(value, plainText(clipMiddle(oneLine(text), maxOption), maxOption), nil)
}

// menu is a choice of some, or nil if there is nothing to choose from.
func menu(block, title, placeholder string, choices []string, chosen string) *slackgo.InputBlock {
	var options []*slackgo.OptionBlockObject
	var initial *slackgo.OptionBlockObject
	var seen []string
	for _, c := range choices {
		if !selectable(c) || slices.Contains(seen, c) {
			continue
		}
		seen = append(seen, c)
		o := option(c, c)
		switch {
		case c == chosen:
			initial = o
		case len(options) == maxMenu-1 && initial == nil && selectable(chosen) && slices.Contains(choices, chosen):
			continue // its place is kept
		case len(options) >= maxMenu:
			continue
		}
		options = append(options, o)
	}
	if len(options) == 0 {
		return nil
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
	a := state.Values[block][block]
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

// elsewhere is a pull request or a commit: no list of branches has it.
var elsewhere = lazyregexp.New(`^(#[0-9]+|[0-9a-f]{7,40})$`)

// Suggestions are the branches that fit what was typed, the best first; the
// first of them, as far as they fit into an acknowledgement, for nothing typed.
// Where none contains what was typed, or it is no branch's name, it is itself
// the last choice: the list may be older than the branch.
func Suggestions(branches []string, query string) slackgo.OptionsResponse {
	query = strings.TrimSpace(query)
	type hit struct {
		name string
		rank int
	}
	var hits []hit
	contained, exact, seen := false, false, map[string]bool{}
	folded := strings.ToLower(query)
	for _, b := range branches {
		if !selectable(b) || seen[b] {
			continue // Slack could not give it back
		}
		seen[b] = true
		if rank := rank(b, query, folded); rank >= 0 {
			hits = append(hits, hit{b, rank})
			contained = contained || rank < rankLetters
			exact = exact || b == query
		}
	}
	slices.SortStableFunc(hits, func(a, b hit) int { return cmp.Compare(a.rank, b.rank) })
	out := slackgo.OptionsResponse{Options: []*slackgo.OptionBlockObject{}}
	used, most := 0, maxSuggestions
	add := func(o *slackgo.OptionBlockObject, bytes int) bool {
		raw, err := json.Marshal(o)
		if err != nil || used+len(raw)+1 > bytes || len(out.Options) >= most {
			return false
		}
		used += len(raw) + 1
		out.Options = append(out.Options, o)
		return true
	}
	typed := !exact && (!contained || elsewhere.MatchString(query)) && selectable(query) && !blank(clean(query))
	if typed {
		most-- // its place is kept
	}
	for _, h := range hits {
		if !add(option(h.name, h.name), 16_000) {
			break
		}
	}
	if most = maxSuggestions; typed {
		add(slackgo.NewOptionBlockObject(query, plainText("“"+clipMiddle(oneLine(query), 50)+"”, as typed", maxOption), nil), 18_000)
	}
	return out
}

// rankLetters is the rank of a branch that only has the letters in their order.
const rankLetters = 5

// rank says how well a branch fits: the smaller the better, -1 not at all.
func rank(branch, query, folded string) int {
	low := strings.ToLower(branch)
	switch {
	case query == "", branch == query:
		return 0
	case low == folded:
		return 1
	case strings.HasPrefix(low, folded):
		return 2
	}
	rest := low
	for {
		i := strings.IndexAny(rest, "/-_.")
		if i < 0 {
			break
		}
		if rest = rest[i+1:]; strings.HasPrefix(rest, folded) {
			return 3
		}
	}
	if strings.Contains(low, folded) {
		return 4
	}
	wanted := []rune(folded)
	for _, r := range low {
		if len(wanted) > 0 && r == wanted[0] {
			wanted = wanted[1:]
		}
	}
	if len(wanted) == 0 {
		return rankLetters
	}
	return -1
}
