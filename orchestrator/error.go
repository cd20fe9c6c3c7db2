package orchestrator

import (
	"errors"
	"fmt"
)

// Code classifies an Error for programs; people read Message and Hint.
type Code string

// The codes that doors translate into exit statuses: Invalid codes are exit 2,
// Refused codes exit 3.
const (
	CodeGrammar          Code = "grammar"
	CodeInvalidName      Code = "invalid_name"
	CodeInvalidValue     Code = "invalid_value"
	CodeInvalidCatalog   Code = "invalid_catalog"
	CodeConfirm          Code = "confirmation_needed"
	CodeNotFound         Code = "not_found"
	CodeAppUnknown       Code = "app_not_found"
	CodeBlueprintUnknown Code = "blueprint_not_found"
	CodeSizeUnknown      Code = "size_not_found"
	CodeTargetUnknown    Code = "target_not_found"
	CodeBranchNotFound   Code = "branch_not_found"
	CodeRevisionNotFound Code = "revision_not_found"
	CodeForkRefused      Code = "fork_refused"
	CodeRepoNotFound     Code = "repo_not_found"
	CodeRepoMoved        Code = "repo_moved"
	CodeGitUnreachable   Code = "git_unreachable"
	CodeGitAuth          Code = "git_auth"
	CodeRateLimited      Code = "rate_limited"
	CodeNameTaken        Code = "name_taken"
	CodeNameReserved     Code = "name_reserved"
	CodeQuota            Code = "quota"
	CodeLifetime         Code = "lifetime_exceeded"
	CodeNotAllowed       Code = "not_allowed"
	CodeNeedsUnmet       Code = "needs_unmet"
	CodeState            Code = "wrong_state"
	CodeSettings         Code = "settings_missing"
	CodeOperationFailed  Code = "operation_failed"
	CodeNoBerth          Code = "no_berth"
	CodeInterrupted      Code = "interrupted"
	CodeInternal         Code = "internal"
)

// Error is what a person is told: Message names the offending thing in their
// words, Hint is the next step or the corrected command. Suggestions are near
// names, best first. Cause, if any, is for the log alone.
type Error struct {
	Code        Code     `json:"code"`
	Message     string   `json:"message"`
	Hint        string   `json:"hint,omitempty"`
	Suggestions []string `json:"suggestions,omitempty"`
	// Subject is what the error is about, where a door can use it to offer the
	// corrected command.
	Subject Subject `json:"subject,omitzero"`
	// All is each of the errors that this one tells at once, if it is several.
	All   []*Error `json:"all,omitempty"`
	Cause error    `json:"-"`
}

// Subject is the thing that an Error is about.
type Subject struct {
	App string `json:"app,omitempty"` // that is unknown, or whose branch was not found
	// RenamedTo is what a branch is called now that is not found any more.
	RenamedTo string `json:"renamed_to,omitempty"`
}

func (e *Error) Error() string { return e.Message }
func (e *Error) Unwrap() error { return e.Cause }

// Errorf makes an Error with a formatted message and no hint.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// WithHint returns a copy of e with the hint set.
func (e *Error) WithHint(format string, args ...any) *Error {
	c := *e
	c.Hint = fmt.Sprintf(format, args...)
	return &c
}

// ExitStatus is the process exit status for err, as the contracts give it:
// 0 none, 2 not understood or not valid, 3 refused, 4 no Berth, 130
// interrupted, else 1.
func ExitStatus(err error) int {
	if err == nil {
		return 0
	}
	var e *Error
	if !errors.As(err, &e) {
		return 1
	}
	switch e.Code {
	case CodeGrammar, CodeInvalidName, CodeInvalidValue, CodeInvalidCatalog, CodeConfirm:
		return 2
	case CodeOperationFailed, CodeInternal:
		return 1
	case CodeNoBerth:
		return 4
	case CodeInterrupted:
		return 130
	}
	return 3
}
