package slackfake

import (
	"embed"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"unicode/utf8"
)

//go:embed page
var pageFiles embed.FS

// previewed is how many bytes of a file the page shows.
const previewed = 4000

// Page is a page on which people use the workspace in a browser, as any of its
// users: channels, threads, slash commands, cards, forms and the app's Home. It
// belongs at the root of the stand-in's own address:
//
//	fake.Handle("/", fake.Page())
//
// Whoever can open it is everybody, so it answers only to this machine's own
// names and to nobody else's pages.
func (s *Server) Page() http.Handler {
	files, err := fs.Sub(pageFiles, "page")
	if err != nil {
		panic(err) // embedded: it cannot fail
	}
	mux := http.NewServeMux()
	mux.Handle("GET /", http.FileServerFS(files))
	mux.HandleFunc("GET /page/events", s.pageEvents)
	mux.HandleFunc("POST /page/do", s.pageDo)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.ownName(r.Host) {
			http.Error(w, "This page answers only at "+s.URL()+".", http.StatusMisdirectedRequest)
			return
		}
		if origin := r.Header.Get("Origin"); origin != "" && origin != "http://"+r.Host && origin != "https://"+r.Host {
			http.Error(w, "Another site's page may not use this one.", http.StatusForbidden)
			return
		}
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "+
			"img-src 'self' data: http: https:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		mux.ServeHTTP(w, r)
	})
}

// ownName reports whether a request was meant for this machine. Any site can
// give its own name this machine's address, and a browser would believe it.
func (s *Server) ownName(host string) bool {
	if host == s.addr {
		return true
	}
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	addr, err := netip.ParseAddr(strings.Trim(name, "[]"))
	return name == "localhost" || strings.HasSuffix(name, ".localhost") || err == nil && addr.IsLoopback()
}

// pageEvents tells a person's browser what they see, then each part of it that
// changes, as server-sent events. A part is always sent as a whole.
func (s *Server) pageEvents(w http.ResponseWriter, r *http.Request) {
	user := r.FormValue("user")
	if user == "" { // whoever comes first
		user = s.firstPerson()
	}
	out := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	sub := s.Subscribe()
	defer sub.Stop()
	sent := map[string]string{}
	send := func(parts []pagePart) error {
		for _, p := range parts {
			if sent[p.name] == p.json {
				continue
			}
			sent[p.name] = p.json
			if _, err := fmt.Fprintf(w, "event: %s\ndata: %s\n\n", p.kind, p.json); err != nil {
				return err
			}
		}
		return out.Flush()
	}
	changes := []Change{{Kind: "all"}}
	for {
		if err := send(s.pageParts(user, changes)); err != nil {
			return
		}
		var err error
		if changes, err = sub.Next(r.Context()); err != nil {
			return
		}
	}
}

// firstPerson is the first user that somebody can be.
func (s *Server) firstPerson() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := ""
	for id, u := range s.ws.users {
		if s.ws.playable(u) && (first == "" || id < first) {
			first = id
		}
	}
	return first
}

// playable says that somebody at the page can be that user.
func (w *workspace) playable(u *User) bool {
	return !u.Deleted && !u.IsBot && u.ID != slackbot
}

// pagePart is a part of what a person sees.
type pagePart struct{ name, kind, json string }

// pageParts are the parts of what a person sees that changes are about.
func (s *Server) pageParts(user string, changes []Change) []pagePart {
	all, modals, home := false, false, false
	var channels []string
	for _, c := range changes {
		switch c.Kind {
		case "all", "channel", "user":
			all = true
		case "view":
			modals = true
		case "home":
			home = true
		}
		if c.Channel != "" && !slices.Contains(channels, c.Channel) {
			channels = append(channels, c.Channel)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.ws
	if w.users[user] == nil {
		return []pagePart{{"nobody", "nobody", "{}"}}
	}
	parts := []pagePart{{"workspace", "workspace", string(encode(s.pageWorkspace(user)))}}
	if all {
		channels = channels[:0]
		for id := range w.channels {
			channels = append(channels, id)
		}
		slices.Sort(channels)
	}
	for _, id := range channels {
		if ch := w.channels[id]; ch != nil && ch.has(user) {
			parts = append(parts, pagePart{"channel " + id, "channel", string(encode(s.pageChannel(user, id)))})
		}
	}
	if all || home {
		parts = append(parts, pagePart{"home", "home", string(encode(Object{"view": s.pageView(w.homes[user])}))})
	}
	if all || modals {
		stack := []any{}
		for _, v := range w.modals[user] {
			stack = append(stack, s.pageView(v))
		}
		parts = append(parts, pagePart{"modals", "modals", string(encode(Object{"stack": stack}))})
	}
	return parts
}

// pageWorkspace is the workspace as a person sees it; mu is held.
func (s *Server) pageWorkspace(user string) Object {
	w := s.ws
	users, groups, channels, commands := []Object{}, []Object{}, []Object{}, []Object{}
	for _, u := range w.users {
		users = append(users, Object{"id": u.ID, "name": u.Name, "real": u.RealName, "bot": u.IsBot || u.ID == slackbot,
			"deleted": u.Deleted, "playable": w.playable(u), "slack": u.ID == slackbot})
	}
	for _, g := range w.groups {
		groups = append(groups, Object{"id": g.ID, "handle": g.Handle, "name": g.Name})
	}
	home := w.im(user, w.botUser)
	for _, ch := range w.channels {
		member := ch.has(user)
		if !member && (ch.IM || ch.Private) {
			continue
		}
		o := Object{"id": ch.ID, "name": ch.Name, "private": ch.Private, "im": ch.IM, "archived": ch.Archived, "member": member, "app": ch.has(w.botUser)}
		if ch.IM {
			o["partner"] = ch.partner(user)
		}
		channels = append(channels, o)
	}
	for _, c := range s.opts.Commands {
		commands = append(commands, Object{"name": c.Name, "description": c.Description, "usage": c.UsageHint})
	}
	for _, list := range [][]Object{users, groups, channels} {
		slices.SortFunc(list, func(a, b Object) int { return strings.Compare(str(a, "id"), str(b, "id")) })
	}
	return Object{"team": w.team.Name, "me": user, "app": Object{"name": w.appName, "user": w.botUser, "channel": home.ID},
		"users": users, "groups": groups, "channels": channels, "commands": commands}
}

// pageChannel is a conversation as a person sees it; mu is held.
func (s *Server) pageChannel(user, id string) Object {
	all := slices.Clone(s.ws.messages[id])
	for _, m := range s.ws.ephemeral[user] {
		if m.Channel == id {
			all = append(all, m)
		}
	}
	slices.SortFunc(all, func(a, b *Message) int { return strings.Compare(a.TS, b.TS) })
	messages := []Object{}
	for _, m := range all {
		files := []Object{}
		for _, f := range m.Files {
			files = append(files, pageFile(f))
		}
		messages = append(messages, Object{"ts": m.TS, "thread": m.ThreadTS, "user": m.User, "app": m.BotID != "", "text": m.Text, "blocks": m.Blocks,
			"attachments": m.Attachments, "files": files, "broadcast": m.Broadcast, "ephemeral": m.Ephemeral(), "edited": m.EditedTS != "",
			"reactions": m.Reactions, "values": stateJSON(m.states[user])["values"]})
	}
	return Object{"id": id, "messages": messages}
}

func pageFile(f File) Object {
	head, rest := f.Content, false
	if len(head) > previewed {
		head, rest = head[:previewed], true
		for len(head) > 0 && !utf8.RuneStart(f.Content[len(head)]) {
			head = head[:len(head)-1]
		}
	}
	preview := ""
	if utf8.Valid(head) {
		preview = string(head)
	}
	return Object{"id": f.ID, "name": f.Name, "title": f.Title, "size": len(f.Content), "preview": preview, "more": rest, "text": utf8.Valid(head)}
}

// pageView is a view as the page draws it, nil for none; mu is held.
func (s *Server) pageView(v *View) any {
	if v == nil {
		return nil
	}
	return Object{"id": v.ID, "hash": v.Hash, "type": v.Type, "title": v.Title, "submit": v.Submit, "close": v.Close, "blocks": v.Blocks,
		"errors": v.Errors, "values": v.values()["values"]}
}
