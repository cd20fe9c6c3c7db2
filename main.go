// Berth gives every branch a place to run: test servers and environments for
// developers, from one command.
package main

import (
	"os"

	"github.com/berth-dev/berth/bot/app"
)

func main() { os.Exit(app.Main()) }
