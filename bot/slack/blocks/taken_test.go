package blocks_test

import (
	"context"
	"sync"
	"testing"
	"time"

	slackgo "github.com/slack-go/slack"
	"github.com/slack-go/slack/socketmode"
	"pgregory.net/rapid"

	"github.com/berth-dev/berth/bot/slack/blocks"
	"github.com/berth-dev/berth/bot/slack/slackfake"
	"github.com/berth-dev/berth/bot/view"
)

const (
	maria = "U024BE7LH"
	dev   = "C0DEV"
)

// newFake is a stand-in for Slack, which refuses what Slack refuses, with an
// unmodified client of it.
func newFake(t *testing.T) (*slackfake.Server, *slackgo.Client) {
	t.Helper()
	fake, err := slackfake.New(slackfake.Options{Unlimited: true,
		Users:    []slackfake.User{{ID: maria, Name: "maria", RealName: "Maria"}, {ID: "U0JONAS", Name: "jonas"}},
		Channels: []slackfake.Channel{{ID: dev, Name: "dev", Members: []string{maria, "U0JONAS", slackfake.BotUser}}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	return fake, slackgo.New(fake.BotToken(), slackgo.OptionAPIURL(fake.APIURL()), slackgo.OptionAppLevelToken(fake.AppToken()))
}

// post sends a message in each way that Berth does.
func post(ctx context.Context, client *slackgo.Client, m blocks.Message) error {
	options := []slackgo.MsgOption{slackgo.MsgOptionText(m.Text, false), slackgo.MsgOptionBlocks(m.Blocks...)}
	_, ts, err := client.PostMessageContext(ctx, dev, options...)
	if err != nil {
		return err
	}
	if _, _, _, err = client.UpdateMessageContext(ctx, dev, ts, options...); err != nil {
		return err
	}
	_, err = client.PostEphemeralContext(ctx, dev, maria, options...)
	return err
}

// nobodyElse fails when a message called anybody but whom a View may name.
func nobodyElse(t *testing.T, fake *slackfake.Server) {
	t.Helper()
	for _, n := range fake.Notifications() {
		if n.Kind != "user" || n.Target != maria {
			t.Fatalf("%s %s was called by %q", n.Kind, n.Target, n.Message.Text)
		}
	}
}

func TestSlackTakesThem(t *testing.T) {
	t.Parallel()
	fake, client := newFake(t)
	for name, v := range samples(t) {
		if err := post(t.Context(), client, blocks.Render(v, directory)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	home := blocks.Home(homeViews(), directory)
	if _, err := client.PublishViewContext(t.Context(), slackgo.PublishViewContextRequest{UserID: maria, View: home}); err != nil {
		t.Errorf("home: %v", err)
	}
	nobodyElse(t, fake)
}

func TestSlackTakesEveryView(t *testing.T) {
	t.Parallel()
	fake, client := newFake(t)
	views := rapid.Custom(anyView)
	for seed := range 40 {
		v := views.Example(seed)
		if err := post(t.Context(), client, blocks.Render(v, directory)); err != nil {
			t.Errorf("%d: %v", seed, err)
		}
		home := blocks.Home([]view.View{v, views.Example(seed + 1)}, directory)
		if _, err := client.PublishViewContext(t.Context(), slackgo.PublishViewContextRequest{UserID: maria, View: home}); err != nil {
			t.Errorf("home %d: %v", seed, err)
		}
	}
	nobodyElse(t, fake)
}

// Each modal is opened for a person who types its name.
func TestSlackTakesModals(t *testing.T) {
	t.Parallel()
	fake, client := newFake(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	sm := socketmode.New(client)
	var work sync.WaitGroup
	t.Cleanup(func() { cancel(); work.Wait() })
	work.Go(func() { _ = sm.RunContext(ctx) })
	ready, opened := make(chan struct{}), make(chan error)
	work.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case e := <-sm.Events:
				if e.Type == socketmode.EventTypeHello {
					close(ready)
				}
				if c, ok := e.Data.(slackgo.SlashCommand); ok {
					_ = sm.Ack(*e.Request)
					_, err := client.OpenViewContext(ctx, c.TriggerID, hostileModals()[c.Text])
					opened <- err
				}
			}
		}
	})
	select {
	case <-ready:
	case <-ctx.Done():
		t.Fatal("no connection")
	}
	for name, want := range hostileModals() {
		out, err := fake.User(maria).Command(ctx, dev, "/env", name)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := <-opened; err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		v, err := out.Modal(ctx)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if v.Title != want.Title.Text {
			t.Errorf("%s is titled %q", name, v.Title)
		}
		if _, err := fake.User(maria).CloseView(ctx, v); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// hostileModals are the modals, and each again with names that nobody gave.
func hostileModals() map[string]slackgo.ModalViewRequest {
	all := modals()
	form := createForm()
	for i := range 150 {
		form.Apps = append(form.Apps, "<!here>:smile:"+string(rune('a'+i%26))+string(rune('a'+i/26)))
		form.Blueprints = append(form.Blueprints, form.Apps[i]+form.Apps[i])
	}
	form.Blueprint, form.Name, form.Targets = form.Blueprints[149], "*qa*", []string{"", "\x00", "日本", "日本"}
	for _, a := range form.Apps {
		form.Branches[a] = "feature/" + a
	}
	all["hostile-create"] = form.View()
	all["hostile-deploy"] = blocks.DeployForm{Environment: "<!channel>\n*qa*", Apps: form.Apps, Branches: form.Branches}.View()
	all["hostile-notice"] = blocks.Notice("<!channel> and a title that is far too long", "")
	return all
}
