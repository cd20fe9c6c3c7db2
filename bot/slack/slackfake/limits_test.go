package slackfake_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/berth-dev/berth/bot/slack/slackfake"
)

type o = map[string]any

func text(kind, s string) o { return o{"type": kind, "text": s} }

func button(change o) o {
	b := o{"type": "button", "action_id": "a", "text": text("plain_text", "Go")}
	for k, v := range change {
		b[k] = v
	}
	return b
}

func options(n int) []any {
	var all []any
	for i := range n {
		all = append(all, o{"text": text("plain_text", fmt.Sprint("Option ", i)), "value": fmt.Sprint(i)})
	}
	return all
}

func menu(change o) o {
	m := o{"type": "static_select", "action_id": "s", "options": options(2)}
	for k, v := range change {
		if v == nil {
			delete(m, k)
		} else {
			m[k] = v
		}
	}
	return m
}

func actions(elements ...any) []any { return []any{o{"type": "actions", "elements": elements}} }

func repeat(n int, make func(i int) any) []any {
	var all []any
	for i := range n {
		all = append(all, make(i))
	}
	return all
}

func confirm(title, body, yes, no int) o {
	x := strings.Repeat
	return o{"title": text("plain_text", x("t", title)), "text": text("mrkdwn", x("b", body)), "confirm": text("plain_text", x("y", yes)), "deny": text("plain_text", x("n", no))}
}

func section(change o) []any {
	s := o{"type": "section", "text": text("mrkdwn", "Hello")}
	for k, v := range change {
		if v == nil {
			delete(s, k)
		} else {
			s[k] = v
		}
	}
	return []any{s}
}

// TestBlockLimits posts what is just allowed, and what is one too many, too
// long, unknown or of the wrong kind. Each refusal points at its place.
func TestBlockLimits(t *testing.T) {
	t.Parallel()
	fake := newFake(t, unlimited)
	x := strings.Repeat
	sections := func(n int) []any {
		return repeat(n, func(int) any { return o{"type": "divider"} })
	}
	for name, c := range map[string]struct {
		good, bad []any
		at        string // where the pointer leads
	}{
		"blocks":                {sections(50), sections(51), "/blocks"},
		"section text":          {section(o{"text": text("mrkdwn", x("é", 3000))}), section(o{"text": text("mrkdwn", x("é", 3001))}), "/blocks/0/text/text"},
		"empty text":            {section(nil), section(o{"text": text("mrkdwn", "")}), "/blocks/0/text/text"},
		"section without text":  {section(nil), section(o{"text": nil}), "/blocks/0"},
		"fields":                {section(o{"fields": repeat(10, func(int) any { return text("mrkdwn", "f") })}), section(o{"fields": repeat(11, func(int) any { return text("mrkdwn", "f") })}), "/blocks/0/fields"},
		"field text":            {section(o{"fields": []any{text("mrkdwn", x("f", 2000))}}), section(o{"fields": []any{text("mrkdwn", x("f", 2001))}}), "/blocks/0/fields/0/text"},
		"header text":           {[]any{o{"type": "header", "text": text("plain_text", x("h", 150))}}, []any{o{"type": "header", "text": text("plain_text", x("h", 151))}}, "/blocks/0/text/text"},
		"header kind":           {[]any{o{"type": "header", "text": text("plain_text", "h")}}, []any{o{"type": "header", "text": text("mrkdwn", "h")}}, "/blocks/0/text/type"},
		"emoji in mrkdwn":       {section(nil), section(o{"text": o{"type": "mrkdwn", "text": "x", "emoji": true}}), "/blocks/0/text"},
		"unknown text kind":     {section(nil), section(o{"text": text("html", "x")}), "/blocks/0/text/type"},
		"actions":               {actions(repeat(25, func(i int) any { return button(o{"action_id": fmt.Sprint(i)}) })...), actions(repeat(26, func(i int) any { return button(o{"action_id": fmt.Sprint(i)}) })...), "/blocks/0/elements"},
		"no actions":            {actions(button(nil)), []any{o{"type": "actions", "elements": []any{}}}, "/blocks/0/elements"},
		"context":               {[]any{o{"type": "context", "elements": repeat(10, func(int) any { return text("mrkdwn", "c") })}}, []any{o{"type": "context", "elements": repeat(11, func(int) any { return text("mrkdwn", "c") })}}, "/blocks/0/elements"},
		"button text":           {actions(button(o{"text": text("plain_text", x("b", 75))})), actions(button(o{"text": text("plain_text", x("b", 76))})), "/blocks/0/elements/0/text/text"},
		"button kind":           {actions(button(nil)), actions(button(o{"text": text("mrkdwn", "b")})), "/blocks/0/elements/0/text/type"},
		"button value":          {actions(button(o{"value": x("v", 2000)})), actions(button(o{"value": x("v", 2001)})), "/blocks/0/elements/0/value"},
		"button style":          {actions(button(o{"style": "danger"})), actions(button(o{"style": "red"})), "/blocks/0/elements/0/style"},
		"button link":           {actions(button(o{"url": "https://x.dev/" + x("u", 2986)})), actions(button(o{"url": "https://x.dev/" + x("u", 2987)})), "/blocks/0/elements/0/url"},
		"button link's form":    {actions(button(o{"url": "http://127.0.0.1:8080/"})), actions(button(o{"url": "web server"})), "/blocks/0/elements/0/url"},
		"accessibility label":   {actions(button(o{"accessibility_label": x("l", 75)})), actions(button(o{"accessibility_label": x("l", 76)})), "/blocks/0/elements/0/accessibility_label"},
		"action_id":             {actions(button(o{"action_id": x("a", 255)})), actions(button(o{"action_id": x("a", 256)})), "/blocks/0/elements/0/action_id"},
		"action_id twice":       {actions(button(nil), button(o{"action_id": "b"})), actions(button(nil), button(nil)), "/blocks/0/elements/1/action_id"},
		"block_id":              {section(o{"block_id": x("b", 255)}), section(o{"block_id": x("b", 256)}), "/blocks/0/block_id"},
		"block_id twice":        {[]any{section(o{"block_id": "a"})[0], section(o{"block_id": "b"})[0]}, []any{section(o{"block_id": "a"})[0], section(o{"block_id": "a"})[0]}, "/blocks/1/block_id"},
		"unknown block":         {section(nil), []any{o{"type": "hologram"}}, "/blocks/0/type"},
		"unknown field":         {section(nil), section(o{"colour": "red"}), "/blocks/0"},
		"unknown element":       {actions(button(nil)), actions(o{"type": "lever", "action_id": "a"}), "/blocks/0/elements/0/type"},
		"element's field":       {actions(button(nil)), actions(button(o{"icon": "x"})), "/blocks/0/elements/0"},
		"element out of place":  {actions(button(nil)), actions(o{"type": "plain_text_input", "action_id": "a"}), "/blocks/0/elements/0/type"},
		"options":               {actions(menu(o{"options": options(100)})), actions(menu(o{"options": options(101)})), "/blocks/0/elements/0/options"},
		"no options":            {actions(menu(nil)), actions(menu(o{"options": []any{}})), "/blocks/0/elements/0/options"},
		"option text":           {actions(menu(o{"options": []any{o{"text": text("plain_text", x("o", 75)), "value": "v"}}})), actions(menu(o{"options": []any{o{"text": text("plain_text", x("o", 76)), "value": "v"}}})), "/blocks/0/elements/0/options/0/text/text"},
		"option value":          {actions(menu(o{"options": []any{o{"text": text("plain_text", "o"), "value": x("v", 150)}}})), actions(menu(o{"options": []any{o{"text": text("plain_text", "o"), "value": x("v", 151)}}})), "/blocks/0/elements/0/options/0/value"},
		"option kind":           {actions(menu(nil)), actions(menu(o{"options": []any{o{"text": text("mrkdwn", "o"), "value": "v"}}})), "/blocks/0/elements/0/options/0/text/type"},
		"option's empty link":   {actions(menu(nil)), actions(menu(o{"options": []any{o{"text": text("plain_text", "o"), "value": "v", "url": ""}}})), "/blocks/0/elements/0/options/0"},
		"initial option":        {actions(menu(o{"initial_option": options(2)[1]})), actions(menu(o{"initial_option": options(3)[2]})), "/blocks/0/elements/0/initial_option"},
		"options and groups":    {actions(menu(o{"options": nil, "option_groups": []any{o{"label": text("plain_text", "G"), "options": options(2)}}})), actions(menu(o{"option_groups": []any{o{"label": text("plain_text", "G"), "options": options(2)}}})), "/blocks/0/elements/0"},
		"placeholder":           {actions(menu(o{"placeholder": text("plain_text", x("p", 150))})), actions(menu(o{"placeholder": text("plain_text", x("p", 151))})), "/blocks/0/elements/0/placeholder/text"},
		"overflow, too many":    {actions(o{"type": "overflow", "action_id": "a", "options": options(5)}), actions(o{"type": "overflow", "action_id": "a", "options": options(6)}), "/blocks/0/elements/0/options"},
		"overflow, too few":     {actions(o{"type": "overflow", "action_id": "a", "options": options(2)}), actions(o{"type": "overflow", "action_id": "a", "options": options(1)}), "/blocks/0/elements/0/options"},
		"checkboxes":            {actions(o{"type": "checkboxes", "action_id": "a", "options": options(10)}), actions(o{"type": "checkboxes", "action_id": "a", "options": options(11)}), "/blocks/0/elements/0/options"},
		"confirm title":         {actions(button(o{"confirm": confirm(100, 300, 30, 30)})), actions(button(o{"confirm": confirm(101, 300, 30, 30)})), "/blocks/0/elements/0/confirm/title/text"},
		"confirm text":          {actions(button(o{"confirm": confirm(1, 300, 1, 1)})), actions(button(o{"confirm": confirm(1, 301, 1, 1)})), "/blocks/0/elements/0/confirm/text/text"},
		"confirm yes":           {actions(button(o{"confirm": confirm(1, 1, 30, 1)})), actions(button(o{"confirm": confirm(1, 1, 31, 1)})), "/blocks/0/elements/0/confirm/confirm/text"},
		"confirm no":            {actions(button(o{"confirm": confirm(1, 1, 1, 30)})), actions(button(o{"confirm": confirm(1, 1, 1, 31)})), "/blocks/0/elements/0/confirm/deny/text"},
		"image without words":   {[]any{o{"type": "image", "image_url": "https://x.dev/a.png", "alt_text": "A"}}, []any{o{"type": "image", "image_url": "https://x.dev/a.png"}}, "/blocks/0"},
		"image with no words":   {[]any{o{"type": "image", "image_url": "https://x.dev/a.png", "alt_text": "A"}}, []any{o{"type": "image", "image_url": "https://x.dev/a.png", "alt_text": ""}}, "/blocks/0/alt_text"},
		"image without source":  {[]any{o{"type": "image", "image_url": "https://x.dev/a.png", "alt_text": "A"}}, []any{o{"type": "image", "alt_text": "A"}}, "/blocks/0"},
		"markdown":              {[]any{o{"type": "markdown", "text": x("m", 12_000)}}, []any{o{"type": "markdown", "text": x("m", 12_001)}}, "/blocks/0/text"},
		"markdown together":     {[]any{o{"type": "markdown", "text": x("m", 6_000)}, o{"type": "markdown", "text": x("m", 6_000)}}, []any{o{"type": "markdown", "text": x("m", 6_000)}, o{"type": "markdown", "text": x("m", 6_001)}}, "/blocks/1/text"},
		"input's text":          {[]any{o{"type": "input", "label": text("plain_text", "L"), "element": o{"type": "plain_text_input"}}}, []any{o{"type": "input", "label": text("mrkdwn", "L"), "element": o{"type": "plain_text_input"}}}, "/blocks/0/label/type"},
		"tables":                {[]any{o{"type": "table", "rows": []any{[]any{o{"type": "raw_text", "text": "a"}}}}}, []any{o{"type": "table", "rows": []any{[]any{o{"type": "raw_text", "text": ""}}}}}, "/blocks/0/rows/0/0/text"},
		"alert outside a modal": {section(nil), []any{o{"type": "alert", "text": text("plain_text", "A")}}, "/blocks/0/type"},
		"task cards":            {section(nil), []any{o{"type": "task_card", "task_id": "t", "title": "T"}}, "/blocks/0/type"},
		"rich text":             {[]any{o{"type": "rich_text", "elements": []any{o{"type": "rich_text_section", "elements": []any{text("text", "a")}}}}}, []any{o{"type": "rich_text", "elements": []any{o{"type": "rich_text_section", "elements": []any{text("shout", "a")}}}}}, "/blocks/0/elements/0/elements/0/type"},
		"a block is no string":  {section(nil), []any{"hello"}, "/blocks/0"},
		"users exist":           {actions(o{"type": "users_select", "action_id": "a", "initial_user": maria}), actions(o{"type": "users_select", "action_id": "a", "initial_user": "U0NOBODY"}), "/blocks/0/elements/0/initial_user"},
	} {
		t.Run(name, func(t *testing.T) {
			if answer := raw(t, fake, "chat.postMessage", o{"channel": dev, "text": "t", "blocks": c.good}); answer["ok"] != true {
				t.Errorf("refused what is allowed: %v", answer)
			}
			answer := raw(t, fake, "chat.postMessage", o{"channel": dev, "text": "t", "blocks": c.bad})
			if answer["error"] != "invalid_blocks" {
				t.Fatalf("accepted: %v", answer)
			}
			messages := answer["response_metadata"].(o)["messages"].([]any)
			if !slices.ContainsFunc(messages, func(m any) bool { return strings.HasSuffix(m.(string), "[json-pointer:"+c.at+"]") }) {
				t.Errorf("%v does not point at %s", messages, c.at)
			}
		})
	}
}

func TestNewerBlocksWhereTheyAreOn(t *testing.T) {
	t.Parallel()
	fake := newFake(t, unlimited, func(o *slackfake.Options) { o.NewerBlocks = []string{"task_card", "plan"} })
	card := o{"type": "task_card", "task_id": "t", "title": "Apply", "status": "in_progress"}
	if a := raw(t, fake, "chat.postMessage", o{"channel": dev, "text": "t", "blocks": []any{card, o{"type": "plan", "title": "P", "tasks": []any{card}}}}); a["ok"] != true {
		t.Error(a)
	}
	card["status"] = "exploded"
	if a := raw(t, fake, "chat.postMessage", o{"channel": dev, "text": "t", "blocks": []any{card}}); a["error"] != "invalid_blocks" {
		t.Error(a)
	}
}

func TestTextLimits(t *testing.T) {
	t.Parallel()
	fake := newFake(t, unlimited)
	x := strings.Repeat
	post := func(args o) o {
		args["channel"] = dev
		return raw(t, fake, "chat.postMessage", args)
	}
	first := post(o{"text": x("é", 40_001)})
	ts, _ := first["ts"].(string)
	if m, _ := fake.Message(dev, ts); len([]rune(m.Text)) != 40_000 || !strings.Contains(fmt.Sprint(first["warning"]), "message_truncated") {
		t.Errorf("%d characters kept, warning %v", len([]rune(m.Text)), first["warning"])
	}
	for name, c := range map[string]struct {
		answer o
		want   any
	}{
		"nothing":          {post(o{}), "no_text"},
		"empty":            {post(o{"text": "", "blocks": []any{}}), "no_text"},
		"blocks no list":   {post(o{"text": "t", "blocks": o{"blocks": []any{}}}), "invalid_blocks_format"},
		"blocks no JSON":   {post(o{"text": "t", "blocks": "[{"}), "invalid_blocks_format"},
		"blocks too long":  {post(o{"text": "t", "blocks": repeat(5, func(int) any { return section(o{"text": text("mrkdwn", x("x", 2900))})[0] })}), "msg_blocks_too_long"},
		"update, allowed":  {raw(t, fake, "chat.update", o{"channel": dev, "ts": ts, "text": x("é", 4000)}), nil},
		"update, too long": {raw(t, fake, "chat.update", o{"channel": dev, "ts": ts, "text": x("é", 4001)}), "msg_too_long"},
		"metadata":         {post(o{"text": "t", "metadata": o{"event_type": ""}}), "invalid_metadata_schema"},
		"metadata no JSON": {post(o{"text": "t", "metadata": "x"}), "invalid_metadata_format"},
		"thread no time":   {post(o{"text": "t", "thread_ts": "yesterday"}), "invalid_thread_ts"},
		"unknown method":   {raw(t, fake, "chat.shout", o{}), "unknown_method"},
	} {
		if c.answer["error"] != c.want {
			t.Errorf("%s: %v, want %v", name, c.answer["error"], c.want)
		}
	}
}

func TestViewLimits(t *testing.T) {
	t.Parallel()
	fake := newFake(t, unlimited)
	x := strings.Repeat
	view := func(change o) o {
		v := o{"type": "home", "blocks": section(nil)}
		for k, c := range change {
			v[k] = c
		}
		return v
	}
	modal := func(change o) o {
		v := view(o{"type": "modal", "title": text("plain_text", "T")})
		for k, c := range change {
			if c == nil {
				delete(v, k)
			} else {
				v[k] = c
			}
		}
		return v
	}
	input := []any{o{"type": "input", "label": text("plain_text", "L"), "element": o{"type": "plain_text_input", "action_id": "a"}}}
	inputWith := func(change o) []any {
		e := o{"type": "plain_text_input", "action_id": "a"}
		for k, v := range change {
			e[k] = v
		}
		return []any{o{"type": "input", "label": text("plain_text", "L"), "element": e}}
	}
	submit := text("plain_text", "Save")
	publish := func(v o) string {
		return fmt.Sprint(raw(t, fake, "views.publish", o{"user_id": maria, "view": v})["error"])
	}
	// A modal's definition is checked before its trigger is.
	open := func(v o) string {
		return fmt.Sprint(raw(t, fake, "views.open", o{"trigger_id": "1.2.x", "view": v})["error"])
	}
	const fine, bad = "invalid_trigger_id", "invalid_arguments"
	for name, c := range map[string]struct{ got, want string }{
		"home":                {publish(view(nil)), "<nil>"},
		"home's blocks":       {publish(view(o{"blocks": repeat(100, func(int) any { return o{"type": "divider"} })})), "<nil>"},
		"home's many blocks":  {publish(view(o{"blocks": repeat(101, func(int) any { return o{"type": "divider"} })})), bad},
		"home's title":        {publish(view(o{"title": text("plain_text", "T")})), bad},
		"home's markdown":     {publish(view(o{"blocks": []any{o{"type": "markdown", "text": "m"}}})), bad},
		"home's type":         {publish(view(o{"type": "modal"})), bad},
		"home's null blocks":  {publish(view(o{"blocks": nil})), bad},
		"metadata":            {publish(view(o{"private_metadata": x("m", 3000)})), "<nil>"},
		"metadata too long":   {publish(view(o{"private_metadata": x("m", 3001)})), bad},
		"callback_id":         {publish(view(o{"callback_id": x("c", 256)})), bad},
		"size":                {publish(view(o{"blocks": repeat(99, func(int) any { return section(o{"text": text("mrkdwn", x("x", 2900))})[0] })})), "view_too_large"},
		"modal":               {open(modal(nil)), fine},
		"alert":               {open(modal(o{"blocks": []any{o{"type": "alert", "text": text("plain_text", "A"), "level": "error"}}})), fine},
		"title":               {open(modal(o{"title": text("plain_text", x("t", 24))})), fine},
		"title too long":      {open(modal(o{"title": text("plain_text", x("t", 25))})), bad},
		"title formatted":     {open(modal(o{"title": text("mrkdwn", "t")})), bad},
		"no title":            {open(modal(o{"title": nil})), bad},
		"no blocks":           {open(modal(o{"blocks": []any{}})), bad},
		"input":               {open(modal(o{"blocks": input, "submit": submit})), fine},
		"input, no submit":    {open(modal(o{"blocks": input})), bad},
		"submit too long":     {open(modal(o{"submit": text("plain_text", x("s", 25))})), bad},
		"close too long":      {open(modal(o{"close": text("plain_text", x("s", 25))})), bad},
		"label too long":      {open(modal(o{"submit": submit, "blocks": []any{o{"type": "input", "label": text("plain_text", x("l", 2001)), "element": input[0].(o)["element"]}}})), bad},
		"value too long":      {open(modal(o{"submit": submit, "blocks": inputWith(o{"initial_value": x("v", 3001)})})), bad},
		"bounds crossed":      {open(modal(o{"submit": submit, "blocks": inputWith(o{"min_length": 5, "max_length": 4})})), bad},
		"max_length too much": {open(modal(o{"submit": submit, "blocks": inputWith(o{"max_length": 3001})})), bad},
		"unknown field":       {open(modal(o{"colour": "red"})), bad},
	} {
		if c.got != c.want {
			t.Errorf("%s: %s, want %s", name, c.got, c.want)
		}
	}
}
