package slackfake_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/slack-go/slack"
	"github.com/slack-go/slack/slackevents"

	"github.com/berth-dev/berth/bot/slack/slackfake"
)

// request is what an app in HTTP mode got, its signature checked.
type request struct {
	path, retry, reason string
	body                []byte
}

// startHTTPApp is an app in HTTP mode.
func startHTTPApp(t *testing.T, fake *slackfake.Server, answer func(w http.ResponseWriter, r request)) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		verifier, err := slack.NewSecretsVerifier(r.Header, fake.SigningSecret())
		if err == nil {
			_, _ = verifier.Write(body)
			err = verifier.Ensure()
		}
		if err != nil {
			t.Error(err)
		}
		answer(w, request{r.URL.Path, r.Header.Get("X-Slack-Retry-Num"), r.Header.Get("X-Slack-Retry-Reason"), body})
	}))
	t.Cleanup(server.Close)
	fake.SetRequestURL(server.URL)
}

func TestHTTPMode(t *testing.T) {
	t.Parallel()
	fake := newFake(t)
	api := client(fake)
	startHTTPApp(t, fake, func(w http.ResponseWriter, r request) {
		form, _ := url.ParseQuery(string(r.body))
		switch r.path {
		case slackfake.CommandsPath:
			if form.Get("text") == "create" {
				if _, err := api.OpenView(form.Get("trigger_id"), form2()); err != nil {
					t.Error(err)
				}
				return
			}
			if form.Get("command") != "/env" || form.Get("response_url") == "" || form.Get("is_enterprise_install") != "false" {
				t.Errorf("%v", form)
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"response_type":"in_channel","text":"one, two"}`)
		case slackfake.InteractionsPath:
			var c slack.InteractionCallback
			if err := json.Unmarshal([]byte(form.Get("payload")), &c); err != nil || c.Type != slack.InteractionTypeViewSubmission {
				t.Errorf("%+v %v", c, err)
			}
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(slack.NewErrorsViewSubmissionResponse(map[string]string{"name": "taken"}))
		case slackfake.EventsPath:
			e, err := slackevents.ParseEvent(r.body, slackevents.OptionNoVerifyToken())
			if err != nil {
				t.Error(err)
			}
			if v, ok := e.Data.(*slackevents.EventsAPIURLVerificationEvent); ok {
				_, _ = io.WriteString(w, v.Challenge)
			}
		}
	})
	if err := fake.VerifyURL(ctxOf(t)); err != nil {
		t.Fatal(err)
	}
	o := must(fake.User(maria).Command(ctxOf(t), dev, "/env", "list"))
	if m, err := o.Answer(ctxOf(t)); err != nil || m.Text != "one, two" || m.Ephemeral() {
		t.Fatal(m, err)
	}
	o = must(fake.User(maria).Command(ctxOf(t), dev, "/env", "create"))
	if o = must(fake.User(maria).FillAndSubmit(ctxOf(t), must(o.Modal(ctxOf(t))), slackfake.Values{"name": "qa"})); o.Fields["name"] != "taken" {
		t.Errorf("%+v", o)
	}
}

func form2() slack.ModalViewRequest {
	return slack.ModalViewRequest{Type: slack.VTModal, Title: plain("T"), Submit: plain("S"), Blocks: slack.Blocks{BlockSet: []slack.Block{
		slack.NewInputBlock("name", plain("Name"), nil, slack.NewPlainTextInputBlockElement(nil, "name")),
	}}}
}

func TestHTTPFailures(t *testing.T) {
	t.Parallel()
	// The six minutes that pass lie around now, by which the client judges.
	clock := slackfake.NewManualClock(time.Now().Add(-3 * time.Minute))
	fake := newFake(t, func(o *slackfake.Options) { o.Clock = clock })
	status := make(chan int, 10)
	got := make(chan request, 10)
	hang := make(chan struct{})
	startHTTPApp(t, fake, func(w http.ResponseWriter, r request) {
		got <- r
		switch s := <-status; s {
		case 0:
			<-hang
		case -1:
			w.Header().Set("X-Slack-No-Retry", "1")
			w.WriteHeader(http.StatusInternalServerError)
		default:
			w.WriteHeader(s)
		}
	})
	t.Cleanup(func() { close(hang) }) // before the server waits for its requests
	user := fake.User(maria)
	status <- http.StatusInternalServerError
	if o := must(user.Command(ctxOf(t), dev, "/env", "list")); o.Failure != slackfake.DispatchFailed {
		t.Error(o)
	}
	<-got
	done := make(chan *slackfake.Outcome)
	status <- 0
	go func() { done <- must(user.Command(t.Context(), dev, "/env", "list")) }()
	<-got
	clock.Advance(3 * time.Second)
	if o := <-done; o.Failure != slackfake.OperationTimeout {
		t.Error(o)
	}

	// Events come again at once, after a minute, after five.
	for range 3 {
		status <- http.StatusBadGateway
	}
	status <- http.StatusOK
	o := must(user.Message(ctxOf(t), dev, "@berth env list", ""))
	first := <-got
	for i, after := range []time.Duration{0, time.Minute, 5 * time.Minute} {
		if after > 0 {
			wait(t, fake, func() bool { return fake.Stats().Undeliverable >= i+2 })
			clock.Advance(after)
		}
		r := <-got
		if r.retry != string(rune('1'+i)) || r.reason != "http_error" || string(r.body) != string(first.body) {
			t.Errorf("retry %q, reason %q", r.retry, r.reason)
		}
	}
	if err := o.Acknowledged(ctxOf(t)); err != nil || o.Failure != "" {
		t.Error(err, o.Failure)
	}
	status <- -1
	o = must(user.Message(ctxOf(t), dev, "@berth env list", ""))
	<-got
	if err := o.Acknowledged(ctxOf(t)); err != nil || o.Failure != slackfake.DispatchFailed || len(got) != 0 {
		t.Error("sent again although the app said no:", err, o.Failure)
	}
}

func TestSignatures(t *testing.T) {
	t.Parallel()
	body := []byte("a=b")
	check := func(h http.Header, body string) error {
		v, err := slack.NewSecretsVerifier(h, "secret")
		if err != nil {
			return err
		}
		_, _ = v.Write([]byte(body))
		return v.Ensure()
	}
	if err := check(slackfake.Sign("secret", time.Now(), body), "a=b"); err != nil {
		t.Error(err)
	}
	if check(slackfake.Sign("other", time.Now(), body), "a=b") == nil || check(slackfake.Sign("secret", time.Now(), body), "a=c") == nil ||
		check(slackfake.Sign("secret", time.Now().Add(-6*time.Minute), body), "a=b") == nil {
		t.Error("accepted what is forged, changed or old")
	}
}
