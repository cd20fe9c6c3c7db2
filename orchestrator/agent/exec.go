package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/dotenv"
)

// ExecOptions says how `berth agent exec` was called.
type ExecOptions struct {
	// EnvFile is an .env file; empty: none.
	EnvFile string
	// Set are KEY=VALUE pairs that hold whatever the file says.
	Set []string
	// Port is the app's; 0: it listens nowhere.
	Port int
	// Command is the program and its arguments.
	Command []string
}

// Exec becomes the app: its process goes on as the command, with the variables
// that the app gets where the agent itself starts it. It returns only when that
// could not be done.
func Exec(o ExecOptions) error {
	if len(o.Command) == 0 {
		return orchestrator.Errorf(orchestrator.CodeInvalidValue, "There is no command to run.").WithHint("berth agent exec --env-file .env -- COMMAND")
	}
	var text []byte
	if o.EnvFile != "" {
		var err error
		if text, err = os.ReadFile(o.EnvFile); errors.Is(err, fs.ErrNotExist) {
			return orchestrator.Errorf(orchestrator.CodeNotFound, "The settings file %s does not exist.", o.EnvFile)
		} else if err != nil {
			return err
		}
	}
	set := map[string]string{}
	for _, pair := range o.Set {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || !dotenv.IsKey(name) {
			return orchestrator.Errorf(orchestrator.CodeInvalidValue, "%q is not KEY=VALUE.", pair)
		}
		set[name] = value
	}
	env, skipped := appVariables(os.Environ(), string(text), set, o.Port)
	if len(skipped) > 0 {
		fmt.Fprintln(os.Stderr, skippedText(skipped))
	}
	program, err := exec.LookPath(o.Command[0])
	if err != nil {
		return orchestrator.Errorf(orchestrator.CodeNotFound, "The command %s cannot be run: %v.", o.Command[0], err)
	}
	return fmt.Errorf("running %s: %w", program, syscall.Exec(program, o.Command, env))
}

// appVariables are env, then an .env file's text, then the addresses of peers,
// which hold whatever ops' file makes of the lines after it, then PORT. skipped
// are the numbers of the text's lines that are none.
func appVariables(env []string, text string, needs map[string]string, port int) (all []string, skipped []int) {
	pairs, skipped := variables(text)
	for _, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		env = setEnv(env, name, value)
	}
	for name, value := range needs {
		env = setEnv(env, name, value)
	}
	if port > 0 {
		env = setEnv(env, "PORT", strconv.Itoa(port))
	}
	return env, skipped
}

func skippedText(lines []int) string {
	return fmt.Sprintf("The settings file has lines that are not KEY=VALUE: %v.", lines)
}
