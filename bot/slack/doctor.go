package slack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	slackgo "github.com/slack-go/slack"

	"github.com/berth-dev/berth/orchestrator"
)

// Check is one thing that was looked at: what was found and, where that is not
// good, what to do.
type Check struct {
	Name        string
	OK          bool
	Found, Next string
}

// ExamineOptions are the configuration to examine.
type ExamineOptions struct {
	BotToken, AppToken, SigningSecret string
	APIURL, PublicURL, OpsChannel     string
	// HTTP makes the calls; nil: a client with a timeout of its own.
	HTTP *http.Client
}

// Examine tries a configuration: the tokens' shape, whether Slack takes them,
// the scopes, and the way by which Slack reaches Berth. Nothing is changed and
// no connection stays open.
func Examine(ctx context.Context, o ExamineOptions) []Check {
	mode, err := ModeOf(o.BotToken, o.AppToken, o.SigningSecret)
	if err != nil {
		return []Check{bad("slack", err, "berth slack manifest, and the first page of docs/slack.md, say where each value comes from")}
	}
	if mode == ModeOff {
		return []Check{{Name: "slack", OK: true, Found: "off; to turn it on, make the app with berth slack manifest, then start serve with BERTH_SLACK_BOT_TOKEN and BERTH_SLACK_APP_TOKEN"}}
	}
	if o.HTTP == nil {
		o.HTTP = &http.Client{Timeout: 10 * time.Second}
	}
	s := &Slack{Options: Options{BotToken: o.BotToken, AppToken: o.AppToken, APIURL: o.APIURL, HTTP: o.HTTP}}
	api := slackgo.New(o.BotToken, s.apiOptions()...)
	var checks []Check
	r, err := api.AuthTestContext(ctx)
	if err != nil {
		checks = append(checks, failed("slack", "BERTH_SLACK_BOT_TOKEN", o.APIURL, err))
	} else {
		checks = append(checks, Check{Name: "slack", OK: true, Found: fmt.Sprintf("%s knows this app as @%s", r.Team, r.User)}, scopes(r.Header.Get("X-OAuth-Scopes")))
	}
	switch err := CheckOpsChannel(o.OpsChannel); {
	case err != nil:
		checks = append(checks, bad("ops", err, ""))
	case o.OpsChannel != "":
		checks = append(checks, Check{Name: "ops", OK: true, Found: "ops are told of what befalls several environments in the channel " + o.OpsChannel + "; Berth has to be invited there if it is private"})
	}
	if mode == ModeHTTP {
		return append(checks, publicURL(o.PublicURL))
	}
	if _, _, err := api.StartSocketModeContext(ctx); err != nil {
		return append(checks, failed("socket", "BERTH_SLACK_APP_TOKEN", o.APIURL, err))
	}
	k := Check{Name: "socket", OK: true, Found: "Socket Mode: Slack lets Berth connect"}
	if o.SigningSecret != "" {
		k.Found += "; BERTH_SLACK_SIGNING_SECRET is for HTTP mode and not used"
	}
	return append(checks, k)
}

func bad(name string, err error, next string) Check {
	k := Check{Name: name, Found: err.Error(), Next: next}
	var e *orchestrator.Error
	if errors.As(err, &e) && e.Hint != "" {
		k.Next = e.Hint
	}
	return k
}

// failed says why Slack did not take a token, and what to do.
func failed(name, variable, apiURL string, err error) Check {
	where := "OAuth & Permissions (it begins with xoxb-)"
	if name == "socket" {
		where = "Basic Information, App-Level Tokens (it begins with xapp- and has the scope connections:write)"
	}
	k := Check{Name: name, Next: "take it anew from the app's settings at api.slack.com/apps: " + where}
	code := errorCode(err)
	var limited *slackgo.RateLimitedError
	var status slackgo.StatusCodeError
	switch why, known := fatal[code]; {
	case code == "socket_mode_not_enabled":
		k.Found, k.Next = "Socket Mode is off in the app's settings", "turn it on at api.slack.com/apps, Socket Mode, or take HTTP mode: unset BERTH_SLACK_APP_TOKEN and set BERTH_SLACK_SIGNING_SECRET"
	case code == "account_inactive":
		k.Found, k.Next = variable+": the app was removed from the workspace", "install it again at api.slack.com/apps, Install App, and take the new token"
	case known:
		k.Found = variable + ": " + why
	case code != "":
		k.Found, k.Next = fmt.Sprintf("Slack refuses %s: %s", variable, code), "look the code up in Slack's documentation of the method, or take the token anew"
	case errors.As(err, &limited):
		k.Found, k.Next = "Slack asks to wait "+limited.RetryAfter.String(), "try again then"
	case errors.As(err, &status):
		k.Found, k.Next = "Slack has trouble ("+status.Status+")", "look at slack-status.com and try again later"
	default:
		if apiURL == "" {
			apiURL = "https://slack.com/api/"
		}
		var reason *url.Error
		if errors.As(err, &reason) {
			err = reason.Err
		}
		k.Found, k.Next = fmt.Sprintf("Slack is out of reach at %s: %v", apiURL, err), "look at the network, at HTTPS_PROXY and at BERTH_SLACK_API_URL"
	}
	return k
}

// scopes compares what the bot may do with what Berth uses.
func scopes(given string) Check {
	if given == "" {
		return Check{Name: "scopes", OK: true, Found: "Slack did not say which the bot has"}
	}
	var has, missing []string
	for s := range strings.SplitSeq(given, ",") {
		has = append(has, strings.TrimSpace(s))
	}
	for _, s := range Scopes {
		if !slices.Contains(has, s.Name) {
			missing = append(missing, s.Name+" ("+s.Why+")")
		}
	}
	if len(missing) == 0 {
		return Check{Name: "scopes", OK: true, Found: fmt.Sprintf("all %d are there", len(Scopes))}
	}
	return Check{Name: "scopes", Found: "missing: " + strings.Join(missing, "; "),
		Next: "add them at api.slack.com/apps, OAuth & Permissions, or paste what berth slack manifest prints under App Manifest; then install the app again"}
}

// publicURL judges the address at which Slack calls in HTTP mode.
func publicURL(address string) Check {
	k := Check{Name: "address", Next: "set BERTH_PUBLIC_URL to Berth's https address as Slack reaches it, the one that berth slack manifest --url was given"}
	u, err := url.Parse(address)
	switch {
	case address == "":
		k.Found = "HTTP mode needs an address that Slack can call, and BERTH_PUBLIC_URL is not set"
	case err != nil || u.Host == "":
		k.Found = fmt.Sprintf("BERTH_PUBLIC_URL is no address: %q", address)
	case u.Scheme != "https":
		k.Found = fmt.Sprintf("Slack calls https addresses only, and BERTH_PUBLIC_URL is %s", address)
	case local(u.Hostname()):
		k.Found = fmt.Sprintf("Slack cannot call %s: that is this machine or its network", address)
	default:
		return Check{Name: "address", OK: true, Found: "HTTP mode: Slack calls " + strings.TrimSuffix(address, "/") + "/slack/…"}
	}
	return k
}

// local reports an address that no one outside can reach.
func local(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && (ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast() || ip.IsUnspecified())
}
