// Package blocks writes Views as Slack's Block Kit, and forms as its modals:
// pure values, nothing here talks to Slack.
//
// Three rules hold for every View, whatever stands in it. Text is data: it
// never becomes a mention, a link, an emoji or formatting (markup.go). Slack's
// limits are kept: what is too long is cut between characters, and of what does
// not fit at all the last line tells (fit.go). Nothing is told by a glyph
// alone: a word stands beside it.
package blocks
