package slackfake

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// token is a part of what a person typed.
type token struct {
	kind string // text, code, user, channel, group, link, email, broadcast
	text string // as typed
	id   string // of a user, channel or group
	name string // as the workspace writes it
	url  string
}

var tokens = regexp.MustCompile("(?i)(`[^`\n]+`)" + // code
	`|(https?://[^\s<>"` + "`" + `]+)` +
	`|([a-z0-9._%+-]+@(?:[a-z0-9-]+\.)+[a-z]{2,})` +
	`|(@[a-z0-9][a-z0-9._-]*)` +
	`|(#[a-z0-9][a-z0-9_-]*)` +
	`|((?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+(?:com|org|net|dev|io|app|co|ai|sh|me|eu|nl|de|uk|us|info|biz|tech|cloud|xyz)\b(?:/[^\s<>"` + "`" + `]*)?)`)

// wordBefore says that what follows s is the rest of a word.
func wordBefore(s string) bool {
	last, _ := utf8.DecodeLastRuneInString(s)
	return last != utf8.RuneError && (unicode.IsLetter(last) || unicode.IsDigit(last) || strings.ContainsRune("_@./=:-", last))
}

// typed takes what a person typed apart as Slack's composer does: names become
// mentions, addresses and host names become links.
func (w *workspace) typed(text string) []token {
	var all []token
	plain := func(s string) {
		if s == "" {
			return
		}
		if n := len(all); n > 0 && all[n-1].kind == "text" {
			all[n-1].text += s
			return
		}
		all = append(all, token{kind: "text", text: s})
	}
	last := 0
	for _, m := range tokens.FindAllStringSubmatchIndex(text, -1) {
		start, end := m[0], m[1]
		plain(text[last:start])
		last = end
		whole := text[start:end]
		group := func(n int) bool { return m[2*n] >= 0 }
		glued := wordBefore(text[:start])
		trailing := ""
		if group(2) || group(6) {
			trimmed := strings.TrimRight(whole, ".,;:!?)'")
			whole, trailing = trimmed, whole[len(trimmed):]
		}
		switch {
		case group(1):
			all = append(all, token{kind: "code", text: whole})
		case group(2):
			all = append(all, token{kind: "link", text: whole, url: whole})
		case group(3):
			all = append(all, token{kind: "email", text: whole, url: "mailto:" + whole})
		case group(4) && !glued:
			name := strings.TrimRight(whole[1:], ".-_")
			trailing = whole[1+len(name):]
			if t, known := w.addressee(name); known {
				t.text = "@" + name
				all = append(all, t)
			} else {
				plain("@" + name)
			}
		case group(5) && !glued:
			if ch := w.channelByName(whole[1:]); ch != nil && !ch.Private {
				all = append(all, token{kind: "channel", text: whole, id: ch.ID, name: ch.Name})
			} else {
				plain(whole)
			}
		case group(6) && !glued:
			all = append(all, token{kind: "link", text: whole, url: "http://" + whole})
		default:
			plain(whole)
		}
		plain(trailing)
	}
	plain(text[last:])
	return all
}

func (w *workspace) addressee(name string) (token, bool) {
	switch name {
	case "channel", "here", "everyone":
		return token{kind: "broadcast", id: name}, true
	}
	if u := w.userByName(name); u != nil {
		return token{kind: "user", id: u.ID, name: u.Name}, true
	}
	for _, g := range w.groups {
		if strings.EqualFold(g.Handle, name) && !g.Disabled {
			return token{kind: "group", id: g.ID, name: "@" + g.Handle}, true
		}
	}
	return token{}, false
}

var escaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// markup writes tokens as Slack sends them. Slash commands carry names with
// the IDs, messages do not.
func (w *workspace) markup(all []token, labels bool) string {
	var b strings.Builder
	for _, t := range all {
		label := ""
		if labels {
			label = "|" + t.name
		}
		switch t.kind {
		case "user":
			b.WriteString("<@" + t.id + label + ">")
		case "channel":
			b.WriteString("<#" + t.id + "|" + t.name + ">")
		case "group":
			b.WriteString("<!subteam^" + t.id + label + ">")
		case "broadcast":
			b.WriteString("<!" + t.id + ">")
		case "link":
			if t.url == t.text {
				b.WriteString("<" + escaper.Replace(t.url) + ">")
			} else {
				b.WriteString("<" + escaper.Replace(t.url) + "|" + escaper.Replace(t.text) + ">")
			}
		case "email":
			b.WriteString("<" + t.url + "|" + t.text + ">")
		default:
			b.WriteString(escaper.Replace(t.text))
		}
	}
	return b.String()
}

// rich writes tokens as the rich text that Slack's composer makes.
func (w *workspace) rich(all []token) []Object {
	elements := []any{}
	for _, t := range all {
		switch t.kind {
		case "user":
			elements = append(elements, Object{"type": "user", "user_id": t.id})
		case "channel":
			elements = append(elements, Object{"type": "channel", "channel_id": t.id})
		case "group":
			elements = append(elements, Object{"type": "usergroup", "usergroup_id": t.id})
		case "broadcast":
			elements = append(elements, Object{"type": "broadcast", "range": t.id})
		case "link", "email":
			e := Object{"type": "link", "url": t.url}
			if t.url != t.text {
				e["text"] = t.text
			}
			elements = append(elements, e)
		case "code":
			elements = append(elements, Object{"type": "text", "text": strings.Trim(t.text, "`"), "style": Object{"code": true}})
		default:
			elements = append(elements, Object{"type": "text", "text": t.text})
		}
	}
	return []Object{{"type": "rich_text", "block_id": w.newID("b"), "elements": []any{Object{"type": "rich_text_section", "elements": elements}}}}
}
