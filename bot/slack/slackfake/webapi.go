package slackfake

import (
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxRequest bounds a call's body.
const maxRequest = 4 << 20

// call is one request to the Web API.
type call struct {
	s        *Server
	method   string
	args     Object // strings when it came as a form
	warnings []string
}

// refusal is an answer with ok false.
type refusal struct {
	code     string
	messages []string // response_metadata.messages
	extra    Object
}

func refuse(code string, messages ...string) *refusal {
	return &refusal{code: code, messages: messages}
}

// method is what the API offers under a name.
type method struct {
	app    bool     // takes the app-level token
	open   bool     // takes no token
	scopes []string // one of these is needed
	run    func(c *call) (Object, *refusal)
}

var methods = map[string]method{
	"api.test":              {open: true, run: (*call).apiTest},
	"auth.test":             {run: (*call).authTest},
	"apps.connections.open": {app: true, run: (*call).openConnection},

	"chat.postMessage":   {scopes: []string{"chat:write"}, run: (*call).postMessage},
	"chat.update":        {scopes: []string{"chat:write"}, run: (*call).updateMessage},
	"chat.postEphemeral": {scopes: []string{"chat:write"}, run: (*call).postEphemeral},
	"chat.delete":        {scopes: []string{"chat:write"}, run: (*call).deleteMessage},
	"chat.getPermalink":  {run: (*call).permalink},

	"views.open":    {run: (*call).openView},
	"views.push":    {run: (*call).pushView},
	"views.update":  {run: (*call).updateView},
	"views.publish": {run: (*call).publishView},

	"conversations.open":    {scopes: []string{"im:write", "mpim:write", "channels:manage", "groups:write"}, run: (*call).openConversation},
	"conversations.info":    {scopes: readScopes, run: (*call).conversationInfo},
	"conversations.list":    {scopes: readScopes, run: (*call).conversationList},
	"conversations.members": {scopes: readScopes, run: (*call).conversationMembers},
	"conversations.history": {scopes: historyScopes, run: (*call).conversationHistory},
	"conversations.replies": {scopes: historyScopes, run: (*call).conversationReplies},

	"users.info":            {scopes: []string{"users:read"}, run: (*call).userInfo},
	"users.list":            {scopes: []string{"users:read"}, run: (*call).userList},
	"users.lookupByEmail":   {scopes: []string{"users:read.email"}, run: (*call).userByEmail},
	"usergroups.list":       {scopes: []string{"usergroups:read"}, run: (*call).groupList},
	"usergroups.users.list": {scopes: []string{"usergroups:read"}, run: (*call).groupUsers},

	"files.getUploadURLExternal":   {scopes: []string{"files:write"}, run: (*call).uploadURL},
	"files.completeUploadExternal": {scopes: []string{"files:write"}, run: (*call).completeUpload},

	"reactions.add":    {scopes: []string{"reactions:write"}, run: (*call).addReaction},
	"reactions.remove": {scopes: []string{"reactions:write"}, run: (*call).removeReaction},
}

var (
	readScopes    = []string{"channels:read", "groups:read", "im:read", "mpim:read"}
	historyScopes = []string{"channels:history", "groups:history", "im:history", "mpim:history"}
)

func (s *Server) serveAPI(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("method")
	args, token, problem := readArguments(r)
	c := &call{s: s, method: name, args: args}
	entry := Entry{Kind: "call", Method: name, Request: args, Status: http.StatusOK}

	s.mu.Lock()
	s.log.stats.Calls[name]++
	m, known := methods[name]
	if problem == nil && !known {
		problem = refuse("unknown_method")
	}
	if problem == nil {
		problem = s.authorize(m, token)
	}
	storm := s.stormy(name)
	wait, header, run := time.Duration(0), true, problem == nil
	switch {
	case storm != nil:
		wait, header, run = storm.RetryAfter, !storm.OmitHeader, run && storm.DoAnyway
	case problem == nil:
		wait, run = s.rates.take(name, c.str("channel"), s.clock.Now())
	}
	var answer Object
	if run {
		answer, problem = m.run(c)
	}
	if wait > 0 {
		s.log.stats.RateLimited++
		entry.Status, entry.Err, entry.RetryIn = http.StatusTooManyRequests, "ratelimited", wait
		s.record(entry)
		s.mu.Unlock()
		tooMany(w, wait, header)
		return
	}
	if problem != nil {
		entry.Err, entry.Messages = problem.code, problem.messages
	}
	scopes := strings.Join(s.scopes, ",")
	s.record(entry)
	s.mu.Unlock()

	if token == s.opts.BotToken {
		w.Header().Set("X-OAuth-Scopes", scopes)
		if len(m.scopes) > 0 {
			w.Header().Set("X-Accepted-OAuth-Scopes", strings.Join(m.scopes, ","))
		}
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_, _ = w.Write(encode(c.answer(answer, problem)))
}

// answer is the response's body.
func (c *call) answer(o Object, problem *refusal) Object {
	if problem != nil {
		o = Object{"ok": false, "error": problem.code}
		for k, v := range problem.extra {
			o[k] = v
		}
		if len(problem.messages) > 0 {
			o["response_metadata"] = Object{"messages": problem.messages}
			if problem.code == "invalid_blocks" {
				var bare []string
				for _, m := range problem.messages {
					bare = append(bare, strings.TrimPrefix(m, "[ERROR] "))
				}
				o["errors"] = bare
			}
		}
		return o
	}
	if o == nil {
		o = Object{}
	}
	o["ok"] = true
	if len(c.warnings) > 0 {
		o["warning"] = strings.Join(c.warnings, ",")
		meta := obj(o, "response_metadata")
		if meta == nil {
			meta = Object{}
		}
		meta["warnings"] = c.warnings
		o["response_metadata"] = meta
	}
	return o
}

// readArguments reads a call's arguments, which may come in the query, as a
// form or as JSON, and its token.
func readArguments(r *http.Request) (Object, string, *refusal) {
	args := Object{}
	add := func(values url.Values) {
		for key, all := range values {
			args[key] = all[0]
		}
	}
	add(r.URL.Query())
	body, err := io.ReadAll(io.LimitReader(r.Body, maxRequest+1))
	if err != nil || len(body) > maxRequest {
		return args, "", refuse("request_timeout")
	}
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	bearer, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	switch {
	case len(body) == 0:
	case kind == "application/json":
		var o Object
		if decode(body, &o) != nil {
			return args, bearer, refuse("invalid_json")
		}
		for k, v := range o {
			args[k] = v
		}
	case kind == "application/x-www-form-urlencoded":
		values, err := url.ParseQuery(string(body))
		if err != nil {
			return args, bearer, refuse("invalid_form_data")
		}
		add(values)
	default:
		return args, bearer, refuse("invalid_post_type")
	}
	token, _ := args["token"].(string)
	delete(args, "token")
	if token == "" {
		token = bearer
	}
	return args, token, nil
}

// authorize checks the token and its scopes; mu is held.
func (s *Server) authorize(m method, token string) *refusal {
	switch {
	case m.open:
		return nil
	case token == "":
		return refuse("not_authed")
	case token == s.opts.BotToken && !m.app:
		if s.botState != "" {
			return refuse(s.botState)
		}
		return s.needs(m.scopes...)
	case token == s.opts.AppToken && m.app:
		if s.appState != "" {
			return refuse(s.appState)
		}
		return nil
	case token == s.opts.BotToken, token == s.opts.AppToken:
		return refuse("not_allowed_token_type")
	}
	return refuse("invalid_auth")
}

// needs refuses a bot token that has none of the scopes; mu is held.
func (s *Server) needs(scopes ...string) *refusal {
	if len(scopes) == 0 || slices.ContainsFunc(scopes, s.has) {
		return nil
	}
	r := refuse("missing_scope")
	r.extra = Object{"needed": strings.Join(scopes, ","), "provided": strings.Join(s.scopes, ",")}
	return r
}

func (s *Server) has(scope string) bool { return slices.Contains(s.scopes, scope) }

func (c *call) str(key string) string {
	s, _ := c.args[key].(string)
	return s
}

func (c *call) bool(key string) bool {
	switch v := c.args[key].(type) {
	case bool:
		return v
	case string:
		return v == "true" || v == "1"
	}
	return false
}

func (c *call) int(key string, otherwise int) int {
	n, err := strconv.Atoi(toString(c.args[key]))
	if err != nil {
		return otherwise
	}
	return n
}

func toString(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case interface{ String() string }:
		return v.String()
	}
	return ""
}

// json reads an argument that is JSON: within a string when it came in a form.
// given is false when it is absent or an empty string.
func (c *call) json(key string) (v any, given, ok bool) {
	switch arg := c.args[key].(type) {
	case nil:
		return nil, false, true
	case string:
		if arg == "" {
			return nil, false, true
		}
		return v, true, decode([]byte(arg), &v) == nil
	default:
		return arg, true, true
	}
}

func (c *call) apiTest() (Object, *refusal) {
	if code := c.str("error"); code != "" {
		return nil, refuse(code)
	}
	return Object{"args": c.args}, nil
}

func (c *call) authTest() (Object, *refusal) {
	w := c.s.ws
	return Object{
		"url": c.s.URL() + "/", "team": w.team.Name, "user": w.users[w.botUser].Name,
		"team_id": w.team.ID, "user_id": w.botUser, "bot_id": w.botID, "is_enterprise_install": false,
	}, nil
}

// page cuts a list at limit, from a cursor on; next is the following cursor.
func page[T any](c *call, all []T, otherwise int) (part []T, next string, problem *refusal) {
	start := 0
	if cursor := c.str("cursor"); cursor != "" {
		n, err := strconv.Atoi(strings.TrimPrefix(cursor, "at-"))
		if err != nil || n < 0 || n > len(all) {
			return nil, "", refuse("invalid_cursor")
		}
		start = n
	}
	limit := c.int("limit", otherwise)
	if limit <= 0 || limit > 1000 {
		limit = otherwise
	}
	end := min(len(all), start+limit)
	if end < len(all) {
		next = "at-" + strconv.Itoa(end)
	}
	return all[start:end], next, nil
}

func cursor(next string) Object { return Object{"next_cursor": next} }
