// Package slackfake is an honest stand-in for Slack's servers: the Web API,
// Socket Mode, signed HTTP requests, response URLs, and people who type,
// click and fill forms. An unmodified Slack client talks to it as it would to
// Slack, and it refuses what Slack refuses: sizes, unknown fields, expired
// triggers, rates. A stand-in that accepts more than Slack does would be a
// defect.
//
// It is an implementation of Slack's protocol of its own: it uses no Slack
// client and knows nothing of the program that it is used to try.
//
//	fake, err := slackfake.New(slackfake.Options{
//		Users:    []slackfake.User{{ID: "U0MARIA", Name: "maria"}},
//		Channels: []slackfake.Channel{{ID: "C0DEV", Name: "dev", Members: []string{"U0MARIA", slackfake.BotUser}}},
//	})
//	defer fake.Close()
//	// slack.New(fake.BotToken(), slack.OptionAPIURL(fake.APIURL()), slack.OptionAppLevelToken(fake.AppToken()))
//	maria := fake.User("U0MARIA")
//	seen, err := maria.Command(ctx, "C0DEV", "/env", "list")
//	answer, err := seen.Answer(ctx)
//
// What takes time (acknowledgements, redelivery, expiry, rates) follows the
// injected [Clock]. Only the WebSocket pings follow the machine's clock, since
// the client on the other end of that connection has no other.
package slackfake
