package diagnose

import "strings"

// startRecords are what stops a state before it runs.
var startRecords = []record{
	{code: "requisite_cycle", who: ops, re: later(`^Recursive requisite found`), sentence: `Steps of the recipe wait on each other in a circle; "{step}" is one of them.`, next: askOpsRecipe},
	{code: "requisite_missing", who: ops, re: later(`^The following requisites were not found:\s+\w+:\s+(?P<ref>.+)`), refine: missingRefs,
		sentence: `The step "{step}" waits on "{ref}", which no recipe has.`, next: askOpsRecipe, subject: "{ref}"},
	{code: "requisite_missing", who: ops, in: "Listen_Error", re: later(`^Referenced state (?P<kind>\w+): (?P<ref>.+) does not exist`),
		sentence: `A step of the recipe acts when "{ref}" changes, and no recipe has that.`, next: askOpsRecipe, subject: "{ref}",
		samples: []sample{{step: "Listen_Error.Listen_Error listen_file:/etc/shop.conf", says: "Referenced state file: /etc/shop.conf does not exist", names: []string{"/etc/shop.conf"}}}},
	{code: "state_module_missing", who: ops, re: later(`State '(?P<fn>[^']+)' was not found in SLS '[^']*'\s*(?:Reason: (?P<why>[^\n]+))?`), refine: moduleReason,
		sentence: `The recipe's step "{step}" needs "{fn}", which this server does not know{why}.`, next: askOps, subject: "{fn}"},
	{code: "state_module_missing", who: ops, in: "module salt saltutil", re: later(`Unavailable function: (?P<fn>[\w.]+?)\.?(?:\s|$)|[Mm]odule function (?P<f2>\S+) is not available|'?(?P<f3>[\w.]+)'? is not available`), refine: firstFn,
		sentence: `The recipe's step "{step}" calls "{fn}", which this server does not know.`, next: askOpsRecipe, subject: "{fn}"},
	{code: "recipe_error", who: ops, re: later(`^Missing parameter (?P<arg>\S+) for state (?P<fn>\S+)`), sentence: `The recipe's step "{step}" ({fn}) lacks its "{arg}".`, next: askOpsRecipe},
	{code: "recipe_error", who: ops, re: later(`'(?P<arg>[^']+)' is an invalid keyword argument for '(?P<fn>[^']+)'`), sentence: `The recipe's step "{step}" gives "{fn}" the argument "{arg}", which it does not take.`, next: askOpsRecipe},
	{code: "no_role", who: ops, re: later(`No Top file or master_tops data matches found|No states found for this minion`), sentence: `Ops have not said yet what this server should be: no recipe is assigned to it.`, next: askOps},
	{code: "recipe_error", who: ops, in: "no", sentence: `The server was given nothing to do: {line}`, next: askOpsRecipe},
	{code: "salt_exception", who: ops, re: later(`Parallel (?:process|cache)|parallel process`), sentence: `The step "{step}" ran beside others and its process was lost before it could say how it ended.`, next: tryAgain},
}

// exceptionRecords are exceptions of a state: the last line tells which.
var exceptionRecords = []record{
	{code: "disk_full", who: ops, re: later(`(?s)Traceback.*(?:No space left|ENOSPC|Errno 28|Disk quota)`), sentence: `The server's disk is full: the step "{step}" could not go on.`, next: nextDisk},
	{code: "permission_denied", who: ops, re: later(`(?s)Traceback.*(?:PermissionError: [^\n:]*|OSError: \[Errno (?:1|13|30)\][^\n:]*)(?:: '(?P<path>[^'\n]+)')?`), sentence: `The step "{step}" has no permission to change "{path}".`, refine: pathOrName, next: askOps, subject: "{path}"},
	{code: "out_of_memory", who: ops, re: later(`(?s)Traceback.*\nMemoryError`), sentence: `The server ran out of memory in the step "{step}".`, next: askOps},
	{code: "user_missing", who: ops, re: later(`(?s)Traceback.*KeyError: ["'].*get(?:pw|gr)nam\(\): name not found: ["\\]*'(?P<user>[^'\\]+)`), sentence: `The user or group "{user}" does not exist on the server (step "{step}").`, next: askOps, subject: "{user}"},
	{code: "workdir_missing", who: ops, re: later(`Specified cwd '(?P<path>[^'\n]+)' either not absolute or does not exist`), sentence: `The folder "{path}" that the step "{step}" works in does not exist.`, next: askOps, subject: "{path}"},
	{code: "path_missing", who: ops, in: "file ini key_value augeas acl host cron", re: later(`(?s)An exception occurred in this state: .*\[Errno 2\] No such file or directory: '(?P<path>/[^'\n]+)'`), sentence: `"{path}" can't be written or read: it, or its folder, does not exist on the server (step "{step}").`, next: askOpsRecipe, subject: "{path}"},
	{code: "salt_exception", who: ops, re: later(`(?s)An exception occurred in this state: .*|^Traceback \(most recent call last\)`), refine: exceptionLine,
		sentence: `The recipe's step "{step}" broke while it ran: {line}`, next: askOpsRecipe},
}

// anyRecords are what any state can say.
var anyRecords = []record{
	{code: "port_in_use", who: ops, text: both, re: later(portInUse), refine: findPort, sentence: `A port{port} that the step "{step}" needs is already taken on the server.`, next: askOps},
	{code: "out_of_memory", who: ops, text: both, re: later(outOfMemory), sentence: `The server ran out of memory in the step "{step}".`, next: `Ask ops to give this size more memory; then "berth env retry NAME".`},
	{code: "permission_denied", who: ops, re: later(denied + `|(?i:access denied|not authorized|must be (?:run as )?root)`), refine: commentLine, sentence: `The step "{step}" has no permission for what it does: {line}`, next: askOps},
	{code: "service_failed", who: ops, in: "mysql* postgres* mongodb* redis* influxdb* rabbitmq*", re: later(offline + `|(?i:can't connect|could not connect)`), refine: commentLine, sentence: `The step "{step}" could not reach its database or broker: {line}`, next: askOps},
	{code: "salt_exception", who: retry, re: later(offline), refine: commentLine, sentence: `The step "{step}" could not reach something over the network: {line}`, next: tryAgain},
	{code: "user_missing", who: ops, re: later(`User '?(?P<user>[^'\n]+?)'? (?:is not available|does not exist|not found)`), sentence: `The user "{user}" does not exist on the server (step "{step}").`, next: askOps, subject: "{user}"},
	{code: "state_module_missing", who: ops, re: later(`'?(?P<fn>\w+\.\w+)'? is not available`), sentence: `The recipe's step "{step}" calls "{fn}", which this server does not know.`, next: askOps, subject: "{fn}"},
	{code: "command_failed", who: ops, re: later(`^check_cmd (?:execution failed|determined the state failed)`), refine: checkCommand, sentence: `The step "{step}" ran, but the check after it did not pass{because}`, next: askOps},
	{code: "salt_exception", who: ops, in: "module salt", refine: commentLine, sentence: `The recipe's step "{step}" called a function that failed: {line}`, next: askOpsRecipe},
}

func missingRefs(f *failure, _ *finding) {
	var refs []string
	for _, l := range strings.Split(f.comment, "\n")[1:] {
		if k, v, ok := strings.Cut(strings.TrimSpace(l), ": "); ok && k != "" && v != "" {
			refs = append(refs, k+": "+strings.TrimSpace(v))
		}
	}
	if len(refs) > 0 {
		f.vars["ref"] = strings.Join(refs, ", ")
	}
}

func moduleReason(f *failure, _ *finding) {
	why := f.vars["why"]
	f.vars["why"] = ""
	if _, after, ok := strings.Cut(why, "__virtual__ returned False"); ok {
		if after = strings.Trim(after, ": ."); after != "" {
			f.vars["why"] = " (" + after + ")"
		}
	} else if why != "" && !strings.Contains(why, "'"+f.vars["fn"]+"' is not available") {
		f.vars["why"] = " (" + strings.TrimSuffix(why, ".") + ")"
	}
}

func firstFn(f *failure, _ *finding) { coalesce(f, "fn", "f2", "f3") }

func exceptionLine(f *failure, _ *finding) { f.vars["line"] = lastException(f.comment) }
