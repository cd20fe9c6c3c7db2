package slackfake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
)

// deed is something that a person does on the page. What they use is carried
// as they saw it, for it may be another by now: people click on what they see.
type deed struct {
	As      string `json:"as"`
	Do      string `json:"do"`
	Channel string `json:"channel"`
	Thread  string `json:"thread"`
	Text    string `json:"text"`
	User    string `json:"user"` // whom to write to

	TS      string   `json:"ts"`   // of the message in which something is used,
	View    string   `json:"view"` // or the view
	Block   Object   `json:"block"`
	Action  string   `json:"action"`
	Choices []string `json:"choices"`
	Options []Object `json:"options"` // that the menu had offered
	Query   string   `json:"query"`
	All     bool     `json:"all"` // close all modals
}

// result is what came of it.
type result struct {
	Error   string            `json:"error,omitempty"`   // it cannot be done
	Failure string            `json:"failure,omitempty"` // what Slack says instead of an answer
	Fields  map[string]string `json:"fields,omitempty"`
	Channel string            `json:"channel,omitempty"`
	Note    string            `json:"note,omitempty"`
	Options []Object          `json:"options,omitempty"`
}

// builtinInvite is a command of Slack's own.
const builtinInvite = "/invite"

func (s *Server) pageDo(w http.ResponseWriter, r *http.Request) {
	// Only a page of this very address can send this type without being asked.
	if media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); media != "application/json" {
		http.Error(w, "application/json is expected", http.StatusUnsupportedMediaType)
		return
	}
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	var d deed
	if err == nil {
		err = decode(raw, &d)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	// What was sent is sent: closing the page does not take it back.
	out, err := s.do(context.WithoutCancel(r.Context()), d)
	if err != nil {
		out.Error = strings.TrimPrefix(err.Error(), "slackfake: ")
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(out)
}

func (s *Server) do(ctx context.Context, d deed) (result, error) {
	p := s.User(d.As)
	var o *Outcome
	var err error
	switch d.Do {
	case "say":
		if name, text, _ := strings.Cut(d.Text, " "); strings.HasPrefix(name, "/") {
			switch {
			case name == builtinInvite:
				return s.invite(p, d.Channel, text)
			case d.Thread != "":
				o, err = p.CommandInThread(ctx, d.Channel, d.Thread, name, text)
			default:
				o, err = p.Command(ctx, d.Channel, name, text)
			}
			break
		}
		o, err = p.Message(ctx, d.Channel, d.Text, d.Thread)
		if o != nil && o.Failure == "not_in_channel" {
			o.Failure = "" // Slackbot says it
		}
	case "delete":
		return result{}, p.Delete(Message{Channel: d.Channel, TS: d.TS})
	case "write to":
		return s.conversation(d.As, d.User)
	case "home":
		o, err = p.OpenHome(ctx)
	case "submit":
		o, err = p.Submit(ctx, View{ID: d.View})
	case "close":
		o, err = p.closeView(ctx, View{ID: d.View}, d.All)
	case "use", "fill", "suggest":
		o, err = p.useSeen(ctx, d)
	default:
		return result{}, fmt.Errorf("nobody can %q", d.Do)
	}
	if err != nil {
		return result{}, err
	}
	out := result{Failure: o.Failure, Fields: o.Fields}
	for _, option := range o.Options {
		out.Options = append(out.Options, option.json)
	}
	return out, nil
}

// useSeen uses an element of a block as the person saw it. They have answered
// its question, if it has one.
func (p *Person) useSeen(ctx context.Context, d deed) (*Outcome, error) {
	all := elements([]Object{d.Block})
	i := slices.IndexFunc(all, func(e Element) bool { return e.ActionID == d.Action })
	if i < 0 {
		return nil, errors.New("that is not there any more")
	}
	e := all[i]
	for _, o := range d.Options {
		e.Options = append(e.Options, newOption(o))
	}
	var on Surface = Message{Channel: d.Channel, TS: d.TS}
	if d.View != "" {
		on = View{ID: d.View}
	}
	if d.Do == "suggest" {
		return p.suggest(ctx, on, e, d.Query)
	}
	var value Object
	if e.Type != "button" {
		var err error
		if value, err = p.value(ctx, on, e, d.Choices); err != nil {
			return nil, err
		}
	}
	if d.Do == "fill" {
		return p.fill(on, e, value)
	}
	return p.act(ctx, on, e, value)
}

// fill notes what stands in a field, without a word to the app.
func (p *Person) fill(on Surface, e Element, value Object) (*Outcome, error) {
	s := p.s
	s.mu.Lock()
	defer s.mu.Unlock()
	m, v, err := s.current(on, p.id)
	if err != nil {
		return nil, err
	}
	state := p.state(m, v)
	if _, there := state[e.BlockID][e.ActionID]; !there {
		return nil, errors.New("that field is not there any more")
	}
	state[e.BlockID][e.ActionID] = value
	return &Outcome{person: p}, nil
}

// invite brings people into a channel, as Slack's own command does.
func (s *Server) invite(p *Person, channel, text string) (result, error) {
	s.mu.Lock()
	_, ch, err := p.here(channel)
	var ids, names []string
	for _, t := range s.ws.typed(text) {
		if t.kind == "user" {
			ids, names = append(ids, t.id), append(names, t.text)
		}
	}
	s.mu.Unlock()
	switch {
	case err != nil:
		return result{}, err
	case ch.IM:
		return result{Failure: "Nobody can be invited into a direct message."}, nil
	case len(ids) == 0:
		return result{Failure: "Say whom to invite: /invite @name"}, nil
	}
	for _, id := range ids {
		if err := s.Join(channel, id); err != nil {
			return result{}, err
		}
	}
	return result{Note: strings.Join(names, ", ") + " can read and write here now."}, nil
}

// conversation is the direct message of two people.
func (s *Server) conversation(a, b string) (result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ws.users[a] == nil || s.ws.users[b] == nil {
		return result{}, fmt.Errorf("there is no user %s or %s", a, b)
	}
	ch := s.ws.im(a, b)
	s.change(Change{Kind: "channel", Channel: ch.ID})
	return result{Channel: ch.ID}, nil
}
