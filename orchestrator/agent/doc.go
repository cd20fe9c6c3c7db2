// Package agent is the program on each server. It makes a key pair, enrols
// with the token that the server was made with, and then asks Berth what the
// server should be. For each generation it writes the pillar to a file, runs
// salt-call without a master, keeps the app running where systemd does not,
// checks its health, and posts Salt's raw result, which stays on disk until
// Berth has taken it. It needs no inbound port and works the same on a laptop
// and in a cloud.
//
// Everything of a server is in one folder:
//
//	agent.json     Berth's address, token, options (0600)
//	key            the server's private key (0600)
//	agent.lock     held while the agent runs; processes.json: what it started
//	agent.log, app.log
//	etc/ salt/     Salt's configuration and caches
//	states/DIGEST  the recipes, one file root in each numbered folder
//	pillar/ env    what the recipes get (0600)
//	root/          berth.root: all that recipes write; root/app: the checkout
//	starter/       how far the starter recipe came; beside root/, for that is the app's
//	code/          mirrors of repositories that need a login; see code.go
//	spool/         reports that Berth has not acknowledged
//	state.json good.json   how far it came, and what the app runs with
//
// Linux only: it finds its own processes in /proc.
package agent
