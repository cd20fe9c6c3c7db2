package slack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	slackgo "github.com/slack-go/slack"
	"golang.org/x/sync/singleflight"

	"github.com/berth-dev/berth/bot"
	"github.com/berth-dev/berth/bot/slack/blocks"
	"github.com/berth-dev/berth/bot/view"
	"github.com/berth-dev/berth/orchestrator"
)

const (
	// branchesFor is how long a list of branches is offered before it is asked
	// for again.
	branchesFor = 2 * time.Minute
	// suggestWithin is how long somebody who types waits for a first list.
	suggestWithin = 2 * time.Second
)

// forms opens modals, fills their menus and takes what was submitted. What
// Slack waits for is answered from what is known already.
type forms struct {
	slack *Slack
	mu    sync.Mutex
	// branches are those of each app, as they were last seen.
	branches map[string]branchList
	// listing makes several wishes for the branches of an app one.
	listing singleflight.Group
}

// branchList are branches as they were last seen, and when they were asked for,
// whether or not that succeeded.
type branchList struct {
	names []string
	at    time.Time
}

// formState is what a modal carries with it.
type formState struct {
	Form  string     `json:"form"`
	Place place      `json:"place"`
	About view.About `json:"about"`
	// Name is the environment's, for forms about one that exists.
	Name string `json:"name,omitempty"`
}

func (f formState) private() string {
	b, err := json.Marshal(f)
	if err != nil {
		panic(err) // strings and a time: they cannot fail
	}
	return string(b)
}

// run keeps the branches of all apps fresh: who opens a form finds them there.
func (f *forms) run(ctx context.Context) {
	for ctx.Err() == nil {
		for _, a := range f.slack.Catalog().Apps {
			<-f.refresh(ctx, a.Name)
		}
		select {
		case <-ctx.Done():
		case <-f.slack.After(branchesFor):
		}
	}
}

// refresh asks for the branches of an app unless that was done a moment ago,
// once for all who want to know; the channel tells when that is over.
func (f *forms) refresh(ctx context.Context, app string) <-chan singleflight.Result {
	return f.listing.DoChan(app, func() (any, error) {
		f.list(ctx, app)
		return nil, nil
	})
}

// known are the branches of an app as they were last seen.
func (f *forms) known(app string) branchList {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.branches[app]
}

// list asks for the branches of an app. A failure counts: a repository that
// does not answer is not asked at every keystroke.
func (f *forms) list(ctx context.Context, app string) {
	l := f.known(app)
	if f.slack.Now().Sub(l.at) < branchesFor/2 {
		return
	}
	// One repository that does not answer must not keep the others waiting.
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	names, err := f.slack.Branches(ctx, app)
	if err != nil {
		f.slack.Log.Debug("the branches of an app could not be listed", "app", app, "error", err)
		names = l.names
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.branches[app] = branchList{names: names, at: f.slack.Now()}
}

// wanted reports a bare create: it is a wish for the form.
func (f *forms) wanted(c slackgo.SlashCommand) bool {
	words := strings.Fields(c.Text)
	if c.Command == f.slack.ServerCommand || len(words) != 1 {
		return false
	}
	verb, ok := bot.VerbOf(words[0])
	return ok && verb == orchestrator.VerbCreate
}

// open opens the form for a new environment for who typed a bare create.
func (f *forms) open(ctx context.Context, c slackgo.SlashCommand) error {
	p := place{Channel: c.ChannelID, User: c.UserID, ResponseURL: c.ResponseURL, At: f.slack.Now()}
	return f.openCreate(ctx, c.TriggerID, c.UserID, p, orchestrator.Command{})
}

// openCreate opens the form for a new environment with what is known filled
// in. It is opened beside the acknowledgement, which must not wait for it.
func (f *forms) openCreate(ctx context.Context, trigger, user string, p place, cmd orchestrator.Command) error {
	cmd.Noun, cmd.Verb = orchestrator.NounEnv, orchestrator.VerbCreate
	form := f.createForm(cmd)
	if form.Name == "" {
		form.Name = f.suggestName(ctx, user)
	}
	form.Private = formState{Form: view.FormCreate, Place: p}.private()
	f.show(ctx, trigger, p, form.View(), "berth env create NAME")
	return nil
}

// show opens a modal. Who cannot be shown one is told, with the command that
// does the same.
func (f *forms) show(ctx context.Context, trigger string, p place, modal slackgo.ModalViewRequest, command string) {
	if f.slack.opened.again(trigger) {
		return // Slack delivers a thing twice at times; a trigger opens one form
	}
	ctx = context.WithoutCancel(ctx)
	f.slack.beside.run(func() {
		opening, cancel := context.WithTimeout(ctx, ackWithin)
		defer cancel()
		_, err := f.slack.api.OpenViewContext(opening, trigger, modal)
		if err == nil {
			return
		}
		f.slack.trouble("opening a form", err)
		unshown := orchestrator.Errorf(orchestrator.CodeState, "Slack did not open the form.").WithHint("try again, or type it: %s", command)
		saying, cancel := context.WithTimeout(ctx, callWithin)
		defer cancel()
		if err := f.slack.reply(saying, p, view.ErrorView(unshown, orchestrator.Command{})); err != nil {
			f.slack.trouble("saying that a form was not opened", err)
		}
	})
}

// createForm is the form of a command, by the catalog in force.
func (f *forms) createForm(cmd orchestrator.Command) blocks.CreateForm {
	c := f.slack.Catalog()
	form := blocks.CreateForm{Name: cmd.Environment, Size: cmd.Size, Target: cmd.Target, Blueprint: cmd.Blueprint, Branches: map[string]string{},
		Lifetime: c.Policy.Lifetime, MaxLifetime: c.Policy.MaxLifetime, TTL: cmd.TTL}
	for _, b := range c.Blueprints {
		form.Blueprints = append(form.Blueprints, b.Name)
		if form.Blueprint == "" || b.Name == "default" && cmd.Blueprint == "" {
			form.Blueprint = b.Name
		}
	}
	for _, t := range c.Targets {
		form.Targets = append(form.Targets, t.Name)
	}
	for _, z := range c.Sizes {
		form.Sizes = append(form.Sizes, z.Name)
	}
	b, _ := c.Blueprint(form.Blueprint)
	for _, name := range b.Apps {
		form.Apps = append(form.Apps, name)
		a, _ := c.App(name)
		form.Branches[name] = a.Branch
		if ref := cmd.Branches[name]; ref != "" {
			form.Branches[name] = ref
		}
	}
	return form
}

// suggestName is a name for a person's next environment.
func (f *forms) suggestName(ctx context.Context, user string) string {
	f.slack.people.mu.Lock()
	k := f.slack.people.known[user]
	f.slack.people.mu.Unlock()
	actor, _ := f.slack.Directory.Person(user, k.email)
	name, _, _ := strings.Cut(actor.Name, "@")
	base := orchestrator.Slug(name)
	if name == "" || base[0] < 'a' || base[0] > 'z' {
		base = "env"
	}
	base = strings.TrimRight(base[:min(len(base), 24)], "-")
	answer, err := f.slack.Doer.Do(ctx, orchestrator.Actor{Name: base}, orchestrator.Command{Noun: orchestrator.NounEnv, Verb: orchestrator.VerbList})
	if err != nil {
		return base + "-1"
	}
	taken := map[string]bool{}
	for _, e := range *answer.Environments {
		taken[e.Name] = true
	}
	for n := 1; ; n++ {
		if name := fmt.Sprintf("%s-%d", base, n); !taken[name] {
			return name
		}
	}
}

// suggest fills a menu of branches.
func (f *forms) suggest(ctx context.Context, c slackgo.InteractionCallback) slackgo.OptionsResponse {
	app, _ := blocks.AppOf(c.BlockID)
	if _, ok := f.slack.Catalog().App(app); ok && f.known(app).names == nil {
		// The list goes on when this keystroke is answered: the next one has it.
		select {
		case <-f.refresh(context.WithoutCancel(ctx), app):
		case <-f.slack.After(suggestWithin):
		case <-ctx.Done():
		}
	}
	return blocks.Suggestions(f.known(app).names, c.Value)
}

// acted takes what happens inside of forms, and buttons that open one. False
// means that the click is not the forms' business.
func (f *forms) acted(ctx context.Context, c slackgo.InteractionCallback) (bool, error) {
	if len(c.ActionCallback.BlockActions) == 0 {
		return false, nil
	}
	pressed := c.ActionCallback.BlockActions[0]
	if c.View.Type == slackgo.VTModal {
		return true, f.changed(ctx, c)
	}
	action, ok := blocks.DecodeAction(pressed.ActionID, pressed.Value)
	if !ok || action.Form == "" {
		return false, nil
	}
	channel := c.Channel.ID
	if channel == "" {
		channel = c.Container.ChannelID
	}
	p := place{Channel: channel, User: c.User.ID, Thread: threadOf(c), ResponseURL: c.ResponseURL, At: f.slack.Now()}
	if action.Form == view.FormCreate {
		return true, f.openCreate(ctx, c.TriggerID, c.User.ID, p, orchestrator.Command{})
	}
	e, err := f.slack.Reader.EnvironmentByID(ctx, action.About.Environment)
	var unknown *orchestrator.Error
	if errors.As(err, &unknown) {
		return false, nil // worked through like any click: it says so
	}
	if err != nil {
		return true, err
	}
	if e.Status == orchestrator.StatusDestroyed {
		return false, nil // worked through like any click: it says what happened
	}
	state := formState{Form: action.Form, Place: p, About: action.About, Name: e.Name}
	switch action.Form {
	case view.FormDeploy:
		form := blocks.DeployForm{Environment: e.Name, Branches: map[string]string{}, Private: state.private()}
		for _, s := range e.Servers {
			form.Apps = append(form.Apps, s.App)
			form.Branches[s.App] = s.Branch
		}
		f.show(ctx, c.TriggerID, p, form.View(), "berth env deploy "+e.Name)
	case view.FormExtend:
		f.show(ctx, c.TriggerID, p, blocks.ExtendForm{Environment: e.Name, Private: state.private()}.View(), "berth env extend "+e.Name+" 1d")
	}
	return true, nil
}

// changed redraws a form whose blueprint was changed: it has other apps.
func (f *forms) changed(ctx context.Context, c slackgo.InteractionCallback) error {
	var state formState
	if json.Unmarshal([]byte(c.View.PrivateMetadata), &state) != nil || state.Form != view.FormCreate {
		return nil
	}
	form := f.createForm(blocks.DecodeCreate(c.View.State))
	form.Private = c.View.PrivateMetadata
	ctx = context.WithoutCancel(ctx)
	f.slack.beside.run(func() {
		ctx, cancel := context.WithTimeout(ctx, ackWithin)
		defer cancel()
		if _, err := f.slack.api.UpdateViewContext(ctx, form.View(), "", c.View.Hash, c.View.ID); err != nil && errorCode(err) != "hash_conflict" {
			f.slack.trouble("redrawing a form", err)
		}
	})
	return nil
}

// command is what a submitted form asks for, the same as if it had been typed.
func (f *forms) command(state formState, c slackgo.InteractionCallback) (orchestrator.Command, error) {
	var cmd orchestrator.Command
	switch state.Form {
	case view.FormDeploy:
		cmd = orchestrator.Command{Verb: orchestrator.VerbDeploy, Environment: state.Name, Branches: blocks.DecodeBranches(c.View.State)}
	case view.FormExtend:
		cmd = orchestrator.Command{Verb: orchestrator.VerbExtend, Environment: state.Name, TTL: blocks.DecodeExtend(c.View.State)}
	case view.FormCreate:
		cmd = blocks.DecodeCreate(c.View.State)
		cmd.Verb = orchestrator.VerbCreate
		// What is only the catalog's default need not be said.
		for app, ref := range maps.Clone(cmd.Branches) {
			if a, ok := f.slack.Catalog().App(app); ok && a.Branch == ref {
				delete(cmd.Branches, app)
			}
		}
		if cmd.TTL == f.slack.Catalog().Policy.Lifetime {
			cmd.TTL = 0
		}
	default:
		return cmd, fmt.Errorf("the form %q is not known", state.Form)
	}
	cmd.Noun = orchestrator.NounEnv
	parsed, err := bot.Parse(bot.Canonical(cmd))
	return parsed.Command, err
}

// submitted checks and accepts a form within the time that Slack waits. What
// is not done by then goes on in the queue, and the modal says so.
func (f *forms) submitted(ctx context.Context, e envelope, c slackgo.InteractionCallback) (any, error) {
	var state formState
	if err := json.Unmarshal([]byte(c.View.PrivateMetadata), &state); err != nil {
		return nil, fmt.Errorf("reading a form: %w", err)
	}
	key := Door + ":" + kindInteraction + ":" + c.TriggerID
	ctx, cancel := context.WithTimeout(ctx, ackWithin-300*time.Millisecond)
	defer cancel()
	err := f.submit(ctx, key, state, c)
	var refusal *orchestrator.Error
	switch {
	case err == nil:
		return nil, nil
	case errors.As(err, &refusal):
		return slackgo.NewErrorsViewSubmissionResponse(f.fields(refusal, c.View)), nil
	}
	// Not done in time, or not at all yet: the queue takes it from here.
	if err := f.slack.keep(context.WithoutCancel(ctx), e, c.TriggerID); err != nil {
		return nil, err
	}
	modal := blocks.Notice("Checking…", "Berth is checking the branches. You can close this; the answer comes to where you asked.")
	return slackgo.NewUpdateViewSubmissionResponse(&modal), nil
}

// submit runs what a form asks for.
func (f *forms) submit(ctx context.Context, key string, state formState, c slackgo.InteractionCallback) error {
	actor, err := f.slack.people.actor(ctx, c.User.ID)
	if err != nil {
		return err
	}
	cmd, err := f.command(state, c)
	if err != nil {
		return err
	}
	stale, err := f.slack.stale(ctx, key, state.About, &cmd)
	if err != nil {
		return err
	}
	if stale != nil {
		return orchestrator.Errorf(orchestrator.CodeState, "%s", stale.Text)
	}
	actor.From = orchestrator.Origin{Door: Door, Key: key, Place: state.Place.json()}
	state.Place.Key = key
	answer, err := f.slack.Doer.Do(ctx, actor, cmd)
	if err != nil {
		return err
	}
	if answer.Operation != nil {
		f.slack.cards.kick()
		return nil
	}
	return f.slack.reply(ctx, state.Place, view.AnswerView(cmd, answer, f.slack.Now()))
}

// fields puts a refusal at the field that it is about.
func (f *forms) fields(e *orchestrator.Error, v slackgo.View) map[string]string {
	text := e.Message
	if e.Hint != "" {
		text += " Next: " + f.slack.options().Typed(bot.Commands(e.Hint))
	}
	block := blocks.BlockName
	switch e.Code {
	case orchestrator.CodeBranchNotFound, orchestrator.CodeRevisionNotFound, orchestrator.CodeForkRefused, orchestrator.CodeRepoNotFound, orchestrator.CodeRepoMoved,
		orchestrator.CodeGitUnreachable, orchestrator.CodeGitAuth, orchestrator.CodeRateLimited:
		block = blocks.AppBlock(e.Subject.App)
	case orchestrator.CodeLifetime:
		block = blocks.BlockTTL
	case orchestrator.CodeSizeUnknown:
		block = blocks.BlockSize
	case orchestrator.CodeTargetUnknown:
		block = blocks.BlockTarget
	case orchestrator.CodeBlueprintUnknown:
		block = blocks.BlockBlueprint
	}
	// An error at a field that the form has not would be shown nowhere.
	var inputs []string
	for _, b := range v.Blocks.BlockSet {
		if in, ok := b.(*slackgo.InputBlock); ok {
			inputs = append(inputs, in.BlockID)
		}
	}
	if !slices.Contains(inputs, block) && len(inputs) > 0 {
		block = inputs[0]
	}
	return map[string]string{block: blocks.Clip(text, 300)}
}

// work finishes a form that was not done in time. The modal, if it is still
// open, shows the end.
func (f *forms) work(ctx context.Context, d orchestrator.Delivery, c slackgo.InteractionCallback) error {
	var state formState
	if err := json.Unmarshal([]byte(c.View.PrivateMetadata), &state); err != nil {
		return f.slack.unreadable(d, err)
	}
	state.Place.Key = d.Key
	if late, err := f.slack.late(ctx, d.ReceivedAt, state.Place); late || err != nil {
		return err
	}
	err := f.submit(ctx, d.Key, state, c)
	var refusal *orchestrator.Error
	if err != nil && !errors.As(err, &refusal) && f.slack.Now().Sub(d.ReceivedAt) < admitAfter {
		return err
	}
	if err == nil {
		f.update(ctx, c, blocks.Notice("On its way", "Berth is on it. The progress is where you asked."))
		return nil
	}
	cmd, _ := f.command(state, c)
	v := view.ErrorView(plainly(err), cmd)
	f.update(ctx, c, blocks.Notice("Not done", f.slack.options().Typed(v.Text)))
	return f.slack.reply(ctx, state.Place, v)
}

// update shows another view in a modal that may have been closed by now.
func (f *forms) update(ctx context.Context, c slackgo.InteractionCallback, modal slackgo.ModalViewRequest) {
	if _, err := f.slack.api.UpdateViewContext(ctx, modal, "", "", c.View.ID); err != nil && errorCode(err) != "not_found" {
		f.slack.trouble("showing the end of a form", err)
	}
}
