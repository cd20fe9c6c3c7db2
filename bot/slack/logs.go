package slack

import (
	"context"
	"strings"

	slackgo "github.com/slack-go/slack"

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
	channel, thread := a.place.Channel, a.place.Thread
	if thread == "" || channel == "" {
		if channel, err = s.direct(ctx, a.place.User); err != nil && !refused(err) {
			return err
		}
		thread = ""
	}
	if err == nil {
		_, err = s.api.UploadFileContext(ctx, slackgo.UploadFileParameters{Content: text, FileSize: len(text), Filename: strings.ReplaceAll(name, "/", "-") + ".log",
			Title: "Log of " + name, AltTxt: "What " + name + " printed", Channel: channel, ThreadTimestamp: thread})
	}
	if err == nil {
		if thread != "" {
			return nil // it stands below the card
		}
		text := "The log of " + name + " is in your own conversation with me."
		return s.reply(ctx, a.place, view.View{Text: text, Parts: []view.Part{view.Paragraph{Spans: []view.Span{{Text: text}}}}})
	}
	if !refused(err) {
		return err
	}
	s.trouble("sending a log as a file", err)
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	lines = lines[max(0, len(lines)-logTail):]
	return s.reply(ctx, a.place, view.View{Text: "The last lines of the log of " + name + ": " + lines[len(lines)-1],
		Parts: []view.Part{view.Heading{Text: "Log of " + name}, view.Code{Text: strings.Join(lines, "\n")}}})
}
