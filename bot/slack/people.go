package slack

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	slackgo "github.com/slack-go/slack"
	"golang.org/x/sync/singleflight"

	"github.com/berth-dev/berth/orchestrator"
)

// knownFor is how long what Slack said of a person is believed.
const knownFor = 10 * time.Minute

// askAgain is how long Slack's refusal to say is believed.
const askAgain = 30 * time.Second

// people maps Slack's users to Berth's people, and back.
type people struct {
	slack *Slack
	mu    sync.Mutex
	known map[string]known  // by Slack ID
	ids   map[string]string // Slack IDs by name
	// nobody are names that Slack knows nobody by, until when that is believed.
	nobody map[string]time.Time
	// directs are the conversations of people with Berth, by Slack ID.
	directs map[string]string
	// asking makes several questions about the same one.
	asking singleflight.Group
	// groups are the members of each user group by its handle; groupsUntil is
	// when they are asked for again.
	groups      map[string][]string
	groupsUntil time.Time
}

// known is what is known of a user: an address, which an unlisted person is
// called by, or why Berth does not serve them.
type known struct {
	email   string
	refusal *orchestrator.Error
	until   time.Time
}

// actor says who a Slack user is. The refusal of one whom Berth does not serve
// is an *orchestrator.Error; any other error may pass.
func (p *people) actor(ctx context.Context, userID string) (orchestrator.Actor, error) {
	p.mu.Lock()
	k, ok := p.known[userID]
	p.mu.Unlock()
	if !ok || p.slack.Now().After(k.until) {
		v, err := p.ask(ctx, "user "+userID, func(ctx context.Context) (any, error) { return p.lookUp(ctx, userID) })
		if err != nil {
			return orchestrator.Actor{}, err
		}
		k = v.(known)
	}
	if k.refusal != nil {
		return orchestrator.Actor{}, k.refusal
	}
	// The catalog may have changed since: teams and ops are asked anew.
	actor, _ := p.slack.Directory.Person(userID, k.email)
	p.mu.Lock()
	p.ids[actor.Name] = userID
	p.mu.Unlock()
	actor.Teams = append(slices.Clone(actor.Teams), p.groupsOf(ctx, userID)...)
	return actor, nil
}

// ask asks Slack once for all who want to know at the same time.
func (p *people) ask(ctx context.Context, what string, f func(ctx context.Context) (any, error)) (any, error) {
	c := p.asking.DoChan(what, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callWithin)
		defer cancel()
		return f(ctx)
	})
	select {
	case r := <-c:
		return r.Val, r.Err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// lookUp asks Slack about a user.
func (p *people) lookUp(ctx context.Context, userID string) (known, error) {
	user, err := p.slack.api.GetUserInfoContext(ctx, userID)
	if err != nil && !refused(err) {
		return known{}, err
	}
	// What only ops can mend says nothing about the person.
	if _, listed := p.slack.Directory.Person(userID, ""); fatal[errorCode(err)] != "" && !listed {
		p.slack.trouble("looking up a person", err)
		return known{}, err
	}
	if err != nil {
		p.slack.trouble("looking up a person", err)
		user = &slackgo.User{ID: userID}
	}
	k := p.judge(userID, user)
	if err != nil {
		k.until = p.slack.Now().Add(askAgain) // ops may mend it
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known[userID] = k
	return k, nil
}

// judge decides whom Berth serves. Whoever the catalog lists by Slack ID is
// served, guests and people of other workspaces too: ops named them.
func (p *people) judge(userID string, u *slackgo.User) known {
	k := known{until: p.slack.Now().Add(knownFor)}
	_, team := p.slack.self.get()
	_, listed := p.slack.Directory.Person(userID, "")
	guest := u.IsRestricted || u.IsUltraRestricted
	stranger := u.IsStranger || team != "" && u.TeamID != "" && u.TeamID != team && u.Enterprise.ID == ""
	switch {
	case u.Deleted:
		k.refusal = orchestrator.Errorf(orchestrator.CodeNotAllowed, "Your account in Slack is deactivated, so Berth does nothing for it.").WithHint("ask an admin of the workspace")
	case u.IsBot || u.IsWorkflowBot:
		k.refusal = orchestrator.Errorf(orchestrator.CodeNotAllowed, "Berth takes commands from people, not from other apps.").WithHint("apps use the API with a token: ops make one with berth token create NAME --person WHO")
	case listed:
	case guest:
		k.refusal = orchestrator.Errorf(orchestrator.CodeNotAllowed, "Guests of this workspace cannot use Berth.").WithHint("ask ops to list you in the catalog: person \"NAME\" { slack = %q }", userID)
	case stranger:
		k.refusal = orchestrator.Errorf(orchestrator.CodeNotAllowed, "You belong to another workspace, and Berth serves this one.").WithHint("ask ops to list you in the catalog: person \"NAME\" { slack = %q }", userID)
	case u.Profile.Email == "":
		k.refusal = orchestrator.Errorf(orchestrator.CodeNotAllowed, "Berth does not know who you are: Slack tells it no e-mail address of yours.").WithHint("ask ops to list you in the catalog: person \"NAME\" { slack = %q }", userID)
	}
	k.email = u.Profile.Email
	return k
}

// idOf finds how to mention a person; it never asks Slack.
func (p *people) idOf(name string) (string, bool) {
	if id, _ := p.slack.Directory.SlackOf(name); id != "" {
		return id, true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if id, ok := p.ids[name]; ok && id != "" {
		return id, true
	}
	return "", false
}

// find is idOf that asks Slack for whom it does not know yet. False means that
// Slack knows no such person, which is believed for a while.
func (p *people) find(ctx context.Context, name string) (string, bool, error) {
	if id, ok := p.idOf(name); ok {
		return id, true, nil
	}
	_, email := p.slack.Directory.SlackOf(name)
	if email == "" {
		return "", false, nil
	}
	p.mu.Lock()
	unknown := p.slack.Now().Before(p.nobody[name])
	p.mu.Unlock()
	if unknown {
		return "", false, nil
	}
	id, err := p.ask(ctx, "address "+email, func(ctx context.Context) (any, error) { return p.lookUpAddress(ctx, name, email) })
	if err != nil {
		return "", false, err
	}
	return id.(string), id != "", nil
}

// lookUpAddress asks Slack whose address that is; nobody's is empty.
func (p *people) lookUpAddress(ctx context.Context, name, email string) (string, error) {
	u, err := p.slack.api.GetUserByEmailContext(ctx, email)
	p.mu.Lock()
	defer p.mu.Unlock()
	if errorCode(err) == "users_not_found" {
		now := p.slack.Now()
		maps.DeleteFunc(p.nobody, func(_ string, until time.Time) bool { return !now.Before(until) })
		p.nobody[name] = now.Add(knownFor)
		return "", nil
	}
	if err != nil {
		return "", err
	}
	p.ids[name] = u.ID
	return u.ID, nil
}

// groupsOf are the handles of the user groups that a person is in. Without the
// scope there are none.
func (p *people) groupsOf(ctx context.Context, userID string) []string {
	p.mu.Lock()
	stale := p.slack.Now().After(p.groupsUntil)
	p.mu.Unlock()
	if stale && p.slack.usesTeams() {
		// An error is the end of waiting alone: what was known before holds.
		_, _ = p.ask(ctx, "groups", func(ctx context.Context) (any, error) { return nil, p.readGroups(ctx) })
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []string
	for handle, users := range p.groups {
		if slices.Contains(users, userID) {
			out = append(out, handle)
		}
	}
	slices.Sort(out)
	return out
}

// readGroups asks Slack for the user groups.
func (p *people) readGroups(ctx context.Context) error {
	all, err := p.slack.api.GetUserGroupsContext(ctx, slackgo.GetUserGroupsOptionIncludeUsers(true))
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.groupsUntil = p.slack.Now().Add(askAgain)
		p.slack.trouble("reading the user groups, which count as teams", err)
		return err
	}
	p.groupsUntil = p.slack.Now().Add(knownFor)
	p.groups = map[string][]string{}
	for _, g := range all {
		p.groups[g.Handle] = g.Users
	}
	return nil
}

// usesTeams says whether the catalog's policy asks for teams at all.
func (s *Slack) usesTeams() bool {
	p := s.Catalog().Policy
	return slices.Contains([]string{p.Create, p.Deploy, p.Destroy}, "team")
}

// teamsWithin bounds how long a command waits to learn somebody's teams.
const teamsWithin = 3 * time.Second

// TeamsOf are the user groups of a person by their name in Berth, which the
// policy counts as teams. Slack is asked for what is not known yet; when it
// does not answer, the groups that are known hold.
func (s *Slack) TeamsOf(name string) []string {
	if !s.usesTeams() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), teamsWithin)
	defer cancel()
	id, ok, err := s.people.find(ctx, name)
	if err != nil {
		s.trouble("looking up whose teams count", err)
	}
	if !ok {
		return nil
	}
	return s.people.groupsOf(ctx, id)
}
