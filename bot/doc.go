// Package bot is the grammar that every door of Berth shares: text or argv
// becomes an orchestrator.Command, a Command becomes its one canonical text,
// and the help comes from the same records as the verbs.
//
// Text passes through four steps. The lexer (lex.go) undoes what Slack, phones
// and word processors do to text and cuts it into tokens; what stands in quotes
// it leaves alone. The head (head.go) finds noun and verb, through synonyms,
// either order and small typing errors. The body (body.go) turns the rest into
// settings and plain words. Assembly (assemble.go) makes the Command of the
// verb, or says in one sentence what is wrong and which command was meant.
// Sentences that are no commands are understood in phrase.go; they end in a
// read or in an offer, never in a change.
//
// Two rules hold everywhere: Parse(Canonical(c)) gives c again, and nothing
// that had to be guessed ever starts a change: the guess is offered instead.
package bot
