package slack

import (
	"errors"
	"slices"
	"time"

	slackgo "github.com/slack-go/slack"
)

// fatal are the errors that only ops can mend: they are about the app, not
// about what was sent.
var fatal = map[string]string{
	"invalid_auth": "the token is not valid", "not_authed": "there is no token", "token_revoked": "the token was revoked",
	"token_expired": "the token has expired", "account_inactive": "the app was removed from the workspace",
	"missing_scope": "a scope is missing", "not_allowed_token_type": "the token is of the wrong kind",
}

// passing are the errors of Slack's own that asking again may change.
var passing = []string{"ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org"}

// errorCode is Slack's own code for an error, or empty.
func errorCode(err error) string {
	var e slackgo.SlackErrorResponse
	if errors.As(err, &e) {
		return e.Err
	}
	if err != nil {
		if _, ok := fatal[err.Error()]; ok {
			return err.Error()
		}
	}
	return ""
}

// refused reports an answer of Slack that asking again does not change.
func refused(err error) bool {
	var e slackgo.SlackErrorResponse
	return errors.As(err, &e) && !slices.Contains(passing, e.Err)
}

// unshowable reports that Slack does not take what a message is made of: its
// text alone may do.
func unshowable(err error) bool {
	return slices.Contains([]string{"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "msg_too_long", "invalid_attachments",
		"too_many_attachments", "invalid_metadata_format", "invalid_metadata_schema", "metadata_too_large", "no_text"}, errorCode(err))
}

// elsewhere reports that Slack refuses a message where it should stand, for a
// reason that is neither the message's nor the app's: another place may do.
func elsewhere(err error) bool {
	_, ours := fatal[errorCode(err)]
	return refused(err) && !ours && !unshowable(err)
}

// retryAfter says whether Slack asks to wait, and how long.
func retryAfter(err error) (time.Duration, bool) {
	var e *slackgo.RateLimitedError
	if errors.As(err, &e) {
		return e.RetryAfter, true
	}
	code := errorCode(err)
	return time.Second, code == "ratelimited" || code == "rate_limited"
}
