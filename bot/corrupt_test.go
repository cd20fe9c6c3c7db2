package bot_test

import (
	"regexp"
	"strings"

	"pgregory.net/rapid"
)

// corrupt does to a canonical command what people's keyboards, Slack and
// habits do, each of the points at random. What stands in quotes is left
// alone, as it is exact.
func corrupt(t *rapid.T, canonical string) string {
	coin := func(label string) bool { return rapid.IntRange(0, 3).Draw(t, label) == 0 }
	pick := func(label string, of ...string) string { return rapid.SampledFrom(of).Draw(t, label) }
	words := split(canonical)
	for i := range words {
		w := words[i]
		key, val, setting := strings.Cut(w, "=")
		setting = setting && keyOnly.MatchString(key)
		isQuoted := strings.Contains(w, `"`)
		if i < 2 || setting && coin("shout key") {
			key = pick("case", key, strings.ToUpper(key), strings.ToUpper(key[:1])+key[1:])
			if i == 0 && coin("plural") {
				key += pick("s", "s", "S")
			}
			if key == strings.ToUpper(key) && shouted[key] {
				key = strings.ToLower(key)
			}
		}
		if setting {
			if isQuoted {
				w = key + pick("separator", "=", " = ", "= ", " =", ":", ": ", "＝", " ： ") + val
			} else {
				if coin("quote value") {
					val = pick("open", "“", "\"", "„", "«", "‘", "'", "″") + val + pick("close", "”", "\"", "“", "»", "’", "'", "″")
				} else if coin("unclosed") && i == len(words)-1 {
					val = pick("open", "“", "\"", "„", "«") + val
				} else if autolinked.MatchString(val) && coin("link") {
					val = "<http://" + val + "|" + val + ">"
				} else {
					if app := strings.ToLower(key); !optionKeys[app] && app != "env" && app != "app" && plainBranch.MatchString(val) && coin("remote") {
						val = pick("remote", "origin/", "refs/heads/", "refs/remotes/origin/") + val
					}
					if strings.EqualFold(key, "ttl") && coin("ttl in words") {
						val = inWords(val, pick("unit", " hours", "hrs", " Hours", "h"), pick("sign", "", "+"))
					}
					val = decorate(t, character(t, val))
				}
				w = key + pick("separator", "=", " = ", "= ", " =", ":", ": ", "＝", " ： ") + val
				if optionKeys[strings.ToLower(key)] && coin("dashes") {
					w = pick("dash", "--", "—", "–", "-", "−", "－－") + w
				}
			}
		} else if !isQuoted {
			w = key
			if i == 0 && coin("slash") {
				w = "/" + w
			}
			w = decorate(t, character(t, w))
		}
		if i > 1 && coin("trailing") {
			w += pick("punctuation", ",", ".", ";", "!", "?", "…", "!!")
		}
		words[i] = w
	}
	if coin("prefix") {
		words = append([]string{pick("prefix", "<@U1|berth>", "@berth", "berth", "/env /env", "&gt;", "•", ">", "please", "hey")}, words...)
		if strings.HasPrefix(canonical, "server") && words[0] == "/env /env" {
			words[0] = "/server"
		}
	}
	span(t, words)
	var b strings.Builder
	for i, w := range words {
		if i > 0 {
			b.WriteString(pick("space", " ", "  ", "\t", "\n", "\u00a0", "\u202f", "\u2007", "\u3000", " \u200b", " \ufeff "))
			if coin("filler") {
				b.WriteString(pick("filler", "please ", "my ", "the ", "- ", "* "))
			}
		}
		b.WriteString(w)
	}
	text := b.String()
	if coin("fence") && !strings.ContainsAny(text, "`") {
		text = pick("fence", "```", "`", "```\n") + text + pick("fence end", "```", "`", "\n```")
	} else if coin("end") {
		text += pick("end", ".", "!", " please", " thanks!", "  ", ". ", " thank you", " thx!", " Thank you!!")
	} else if coin("quoted whole") && !strings.ContainsFunc(text, quoteMark) {
		text = pick("open", "“", "\"", "„", "«", "‘", "'") + text + pick("close", "”", "\"", "“", "»", "’", "'")
		text = pick("before", "", "<@U1|berth> ", "hey ", "@berth: ") + text
	}
	if coin("mention") {
		text = pick("mention", "<@U024BE7LH> ", "<@U1|berth>, ", "<@U1> <@U1> ", "@berth ") + text
	}
	return text
}

func quoteMark(r rune) bool { return strings.ContainsRune("\"“”„«»‘’'′″", r) }

// plainBranch is a branch that the name of a remote may stand before.
var plainBranch = regexp.MustCompile(`^[a-z]+(?:[/._-][a-z0-9]+)*$`)

// inWords writes a number of hours as people do; another unit stays.
func inWords(ttl, unit, sign string) string {
	if n, ok := strings.CutSuffix(ttl, "h"); ok {
		return sign + n + unit
	}
	return sign + ttl
}

// span puts a mark of decoration around several words after noun and verb.
func span(t *rapid.T, words []string) {
	if len(words) < 4 || rapid.IntRange(0, 5).Draw(t, "span") > 0 {
		return
	}
	from := rapid.IntRange(2, len(words)-2).Draw(t, "from")
	to := rapid.IntRange(from+1, len(words)-1).Draw(t, "to")
	m := rapid.SampledFrom([]string{"*", "~", "_"}).Draw(t, "mark")
	if strings.Contains(strings.Join(words, ""), m) {
		return
	}
	words[from], words[to] = m+words[from], words[to]+m
}

var (
	keyOnly    = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)
	autolinked = regexp.MustCompile(`^[a-z0-9/-]+\.[a-z]+$`)
	optionKeys = map[string]bool{"ttl": true, "size": true, "target": true, "name": true}
	shouted    = map[string]bool{"PORT": true, "DEBUG": true, "TOKEN": true, "SECRET": true, "KEY": true, "HOST": true, "URL": true, "DSN": true, "PATH": true, "USER": true, "LANG": true, "TZ": true, "HOME": true, "SHELL": true}
)

// split cuts a canonical text at its spaces, but not in quotes.
func split(canonical string) []string {
	var words []string
	var b strings.Builder
	in, escaped := false, false
	for _, r := range canonical {
		switch {
		case escaped:
			escaped = false
		case r == '\\':
			escaped = true
		case r == '"':
			in = !in
		case r == ' ' && !in:
			words = append(words, b.String())
			b.Reset()
			continue
		}
		b.WriteRune(r)
	}
	return append(words, b.String())
}

// character changes single characters to what they are often replaced by.
func character(t *rapid.T, s string) string {
	var b strings.Builder
	for _, r := range s {
		out := string(r)
		if rapid.IntRange(0, 7).Draw(t, "character") == 0 {
			switch {
			case r == '-':
				out = rapid.SampledFrom([]string{"‐", "‑", "‒", "–", "−", "﹣", "－"}).Draw(t, "dash")
			case r == '/':
				out = "／"
			case r == '@':
				out = "＠"
			case r == '\'':
				out = "’"
			case r >= '0' && r <= '9':
				out = string(r - '0' + '０')
			}
			out += rapid.SampledFrom([]string{"", "\u200b", "\u00ad", "\u2060", "\u200e", "\ufe0f", "\u202c"}).Draw(t, "invisible")
		}
		b.WriteString(out)
	}
	return b.String()
}

func decorate(t *rapid.T, s string) string {
	if rapid.IntRange(0, 4).Draw(t, "decorated") > 0 {
		return s
	}
	m := rapid.SampledFrom([]string{"*", "~", "`", "```"}).Draw(t, "mark")
	return m + s + m
}

// mistype makes one slip in a word.
func mistype(t *rapid.T, s string) string {
	rs := []rune(s)
	i := rapid.IntRange(0, len(rs)-1).Draw(t, "where")
	switch rapid.IntRange(0, 3).Draw(t, "slip") {
	case 0:
		return string(rs[:i]) + string(rs[i+1:])
	case 1:
		return string(rs[:i]) + string(rs[i]) + string(rs[i:])
	case 2:
		rs[i] = rapid.RuneFrom([]rune("abcdefghijklmnopqrstuvwxyz")).Draw(t, "letter")
	default:
		if i+1 < len(rs) {
			rs[i], rs[i+1] = rs[i+1], rs[i]
		}
	}
	return string(rs)
}
