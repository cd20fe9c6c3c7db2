package slack

import (
	"context"
	"strings"

	slackgo "github.com/slack-go/slack"

	"github.com/berth-dev/berth/bot"
	"github.com/berth-dev/berth/bot/view"
	"github.com/berth-dev/berth/orchestrator"
)

const (
	// logFile is how much of a log goes into a file, logTail how many of its
	// last lines into a message when no file can be sent.
	logFile = 4 << 20
	logTail = 30
)

// logs shows what servers printed: as a file in the thread where a card's
// button was pressed, else in the person's own conversation.
func (s *Slack) logs(ctx context.Context, a ask, actor orchestrator.Actor, cmd orchestrator.Command) error {
	answer, err := s.Doer.Do(ctx, actor, cmd)
	if err != nil {
		return s.refuse(ctx, a, err, cmd)
	}
	text, err := s.Logs(answer.Environment.ID, cmd.App, logFile)
	if err != nil {
		return s.refuse(ctx, a, err, cmd)
	}
	name := answer.Environment.Name
	if cmd.App != "" {
		name += "/" + cmd.App
	}
	if strings.TrimSpace(text) == "" {
		text = "The servers of " + name + " have printed nothing yet."
		if cmd.App != "" {
			text = name + " has printed nothing yet."
		}
		return s.reply(ctx, a.place, view.View{Text: text, Parts: []view.Part{view.Paragraph{Spans: []view.Span{{Text: text}}}}})
	}
	if len(text) > logFile {
		text = text[len(text)-logFile:]
		text = "…\n" + text[strings.IndexByte(text, '\n')+1:]
	}
	err = s.files(ctx, a, "The log of "+name+" is", file{name: strings.ReplaceAll(name, "/", "-") + ".log", title: "Log of " + name, alt: "What " + name + " printed", text: text})
	if err == nil || !refused(err) {
		return err
	}
	s.trouble("sending a log as a file", err)
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	lines = lines[max(0, len(lines)-logTail):]
	return s.reply(ctx, a.place, view.View{Text: "The last lines of the log of " + name + ": " + lines[len(lines)-1],
		Parts: []view.Part{view.Heading{Text: "Log of " + name}, view.Code{Text: strings.Join(lines, "\n")}}})
}

// file is a text to be sent as a file; alt describes it to who does not see it.
type file struct{ name, title, alt, text string }

// files sends files in one message: in the thread where a card's button was
// pressed, else in the person's own conversation, and then says so. what begins that
// sentence.
func (s *Slack) files(ctx context.Context, a ask, what string, all ...file) error {
	channel, thread := a.place.Channel, a.place.Thread
	if thread == "" || channel == "" {
		var err error
		if channel, err = s.direct(ctx, a.place.User); err != nil {
			return err
		}
		thread = ""
	}
	done := slackgo.CompleteUploadExternalParameters{Channel: channel, ThreadTimestamp: thread}
	for _, f := range all {
		u, err := s.api.GetUploadURLExternalContext(ctx, slackgo.GetUploadURLExternalParameters{FileName: f.name, FileSize: len(f.text), AltTxt: f.alt})
		if err != nil {
			return err
		}
		if err := s.api.UploadToURL(ctx, slackgo.UploadToURLParameters{UploadURL: u.UploadURL, Content: f.text, Filename: f.name}); err != nil {
			return err
		}
		done.Files = append(done.Files, slackgo.FileSummary{ID: u.FileID, Title: f.title})
	}
	if _, err := s.api.CompleteUploadExternalContext(ctx, done); err != nil {
		return err
	}
	if thread != "" {
		return nil // they stand below the card
	}
	text := what + " in your own conversation with me."
	return s.reply(ctx, a.place, view.View{Text: text, Parts: []view.Part{view.Paragraph{Spans: []view.Span{{Text: text}}}}})
}

// treeLimit is how long a tree may be that is shown as a message, in bytes; a
// longer one is a file.
const treeLimit = 2500

// evidence shows all that is known of a failure: its tree, or what the programs
// printed as files.
func (s *Slack) evidence(ctx context.Context, a ask, actor orchestrator.Actor, cmd orchestrator.Command) error {
	answer, err := s.Doer.Do(ctx, actor, cmd)
	if err != nil {
		return s.refuse(ctx, a, err, cmd)
	}
	e := *answer.Environment
	if answer.Evidence == nil {
		return s.reply(ctx, a.place, view.WhyView(e))
	}
	if cmd.Detail == orchestrator.DetailRaw {
		var all []file
		for _, f := range answer.Evidence.Files {
			all = append(all, file{name: f.Name, title: f.Title, alt: f.Title, text: f.Text})
		}
		if len(all) == 0 {
			text := "Nothing that was printed for " + e.Name + " is kept."
			return s.reply(ctx, a.place, view.View{Text: text, Parts: []view.Part{view.Paragraph{Spans: []view.Span{{Text: text}}}}})
		}
		err = s.files(ctx, a, "The files of "+e.Name+" are", all...)
	} else {
		tree := view.Tree(e, *answer.Evidence, view.TreeStyle{Commands: func(text string) string { return s.options().Typed(bot.Commands(text)) }})
		if len(tree) <= treeLimit {
			return s.reply(ctx, a.place, view.WhyAllView(e, tree))
		}
		err = s.files(ctx, a, "All that is known of "+e.Name+" is", file{name: e.Name + "-why.txt", title: "Why " + e.Name + " failed", alt: "Every step of " + e.Name + " that failed and what it kept from running", text: tree})
	}
	if err == nil || !refused(err) {
		return err
	}
	s.trouble("sending evidence as a file", err)
	v := view.WhyView(e)
	v.Parts = append(v.Parts, view.Note{Spans: []view.Span{{Text: "Slack takes no file from Berth here; in a terminal: berth env why " + e.Name + " " + string(cmd.Detail)}}})
	return s.reply(ctx, a.place, v)
}
