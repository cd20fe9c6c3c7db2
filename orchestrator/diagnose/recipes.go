package diagnose

import (
	"strings"

	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

// startRecords are what stops a state before it runs.
var startRecords = []record{
	{code: "requisite_cycle", who: ops, re: lazyregexp.New(`^Recursive requisite found`), sentence: `Steps of the recipe wait on each other in a circle; "{step}" is one of them.`, next: askOpsRecipe,
		samples: []sample{{step: "test.nop a1", says: "Recursive requisite found", names: []string{sampleID}}}},
	{code: "requisite_missing", who: ops, re: lazyregexp.New(`^The following requisites were not found:\s+\w+:\s+(?P<ref>.+)`), refine: missingRefs,
		sentence: `The step "{step}" waits on "{ref}", which no recipe has.`, next: askOpsRecipe, subject: "{ref}",
		samples: []sample{{step: "cmd.run make site", says: "The following requisites were not found:\n                   require:\n                       pkg: website-packages\n", names: []string{"pkg: website-packages"}}}},
	{code: "requisite_missing", who: ops, in: "Listen_Error", re: lazyregexp.New(`^Referenced state (?P<kind>\w+): (?P<ref>.+) does not exist`),
		sentence: `A step of the recipe acts when "{ref}" changes, and no recipe has that.`, next: askOpsRecipe, subject: "{ref}",
		samples: []sample{{step: "Listen_Error.Listen_Error listen_file:/etc/shop.conf", says: "Referenced state file: /etc/shop.conf does not exist", names: []string{"/etc/shop.conf"}}}},
	{code: "recipe_missing", who: ops, re: lazyregexp.New(`(?i)No matching sls found for '(?P<sls>[^'\n]+)'`), sentence: `The recipe "{sls}" does not exist.`, next: askOpsRecipe, subject: "{sls}",
		samples: []sample{{step: "saltutil.sls web", says: "No matching sls found for 'webb' in env 'base'", names: []string{"webb"}}}},
	{code: "state_module_missing", who: ops, re: lazyregexp.New(`State '(?P<fn>[^']+)' was not found in SLS '[^']*'\s*(?:Reason: (?P<why>[^\n]+))?|Specified state '(?P<f2>[^']+)' was not found`), refine: moduleReason,
		sentence: `The recipe's step "{step}" needs "{fn}", which this server does not know{why}.`, next: askOps, subject: "{fn}",
		samples: []sample{
			{step: "mysql_database.present shop", says: "State 'mysql_database.present' was not found in SLS 'db'\nReason: 'mysql_database' __virtual__ returned False: The MySQL client library is not installed.\n", names: []string{"mysql_database.present", "client library"}},
			{step: "npm.bootstrap /srv/app", says: "State 'npm.bootstrap' was not found in SLS 'web'\nReason: 'npm.bootstrap' is not available.\n", names: []string{"npm.bootstrap"}},
			{step: "file.managd /x", says: "Specified state 'file.managd' was not found", names: []string{"file.managd"}},
		}},
	{code: "state_module_missing", who: ops, in: "module salt saltutil loop", re: lazyregexp.New(`Unavailable functions?: (?P<fn>[\w., ]+?)\.?(?:\s|$)|[Mm]odule function (?P<f2>\S+) is not available|Cannot find module (?P<f4>[\w.]+)|Module\.function "(?P<f5>[^"\n]+)" is unavailable|'?(?P<f3>[\w.]+)'? is not available`), refine: firstFn,
		sentence: `The recipe's step "{step}" calls "{fn}", which this server does not know.`, next: askOpsRecipe, subject: "{fn}",
		samples: []sample{
			{step: "module.run build", says: "Unavailable function: shop.build.", names: []string{`"shop.build"`}},
			{step: "module.run shop.build", says: "Module function shop.build is not available", names: []string{`"shop.build"`}},
			{step: "loop.until shop.ready", says: "Cannot find module shop.ready", names: []string{`"shop.ready"`}},
		}},
	{code: "recipe_error", who: ops, re: lazyregexp.New(`(?m)^Missing parameter (?P<arg>\S+) for state (?P<fn>\S+)`), refine: missingArgs, sentence: `The recipe's step "{step}" ({fn}) lacks its "{arg}".`, next: askOpsRecipe,
		samples: []sample{{step: "file.replace /etc/motd", says: "Missing parameter pattern for state file.replace\nMissing parameter repl for state file.replace\n", names: []string{"pattern", "repl", "file.replace"}}}},
	{code: "recipe_error", who: ops, re: lazyregexp.New(`'(?P<arg>[^']+)' is an invalid keyword argument for '(?P<fn>[^']+)'`), sentence: `The recipe's step "{step}" gives "{fn}" the argument "{arg}", which it does not take.`, next: askOpsRecipe,
		samples: []sample{{step: "group.present web", says: "'colour' is an invalid keyword argument for 'group.present'.", names: []string{"colour", "group.present"}}}},
	{code: "recipe_error", who: ops, re: lazyregexp.New(`Invalid umask: '?(?P<why>[^'\n]+)'?`), sentence: `The recipe's step "{step}" asks for the umask "{why}", which is none.`, next: askOpsRecipe,
		samples: []sample{{step: "file.touch /srv/x", says: "Invalid umask: abc\n", names: []string{`"abc"`}}, {step: "cmd.run make", says: "Invalid umask: '999'", names: []string{`"999"`}}}},
	{code: "recipe_error", who: ops, re: lazyregexp.New(`^ID '(?P<id>[^'\n]*)' (?:in SLS '[^']*' )?is not formed as a string|^Missing "(?P<i2>\w+)" data`), refine: func(f *failure, _ *finding) { coalesce(f, "id", "i2") }, sentence: `The recipe's step "{step}" is not written as it must be: "{id}" is no text, or missing.`, next: askOpsRecipe,
		samples: []sample{{step: "cmd.run 42", says: "ID '42' in SLS 'web' is not formed as a string, but is a int", names: []string{`"42"`}}}},
	{code: "salt_exception", who: ops, re: lazyregexp.New(`The state function "(?P<fn>[^"\n]+)" is currently disabled`), sentence: `Ops have disabled "{fn}" on this server, and the recipe's step "{step}" needs it.`, next: askOps, subject: "{fn}",
		samples: []sample{{step: "cmd.run make", says: `The state function "cmd.run" is currently disabled by "cmd.*", to re-enable, run state.enable cmd.*.`, names: []string{"cmd.run"}}}},
	{code: "recipe_error", who: ops, in: "no", when: topUnread, refine: topReason, sentence: `The list that says which recipes this server gets can't be read: {line}`, next: askOpsRecipe,
		samples: []sample{{step: "no.None No States", says: "No Top file or master_tops data matches found. Please see master log for details.", stderr: "[ERROR   ] Unable to render top file: Jinja variable 'role' is undefined", names: []string{"role"}}}},
	{code: "no_role", who: ops, re: lazyregexp.New(`No Top file or master_tops data matches found|No states found for this minion`), sentence: `Ops have not said yet what this server should be: no recipe is assigned to it.`, next: askOps,
		samples: []sample{{step: "no.None No States", says: "No Top file or master_tops data matches found. Please see master log for details."}}},
	{code: "recipe_error", who: ops, in: "no", re: lazyregexp.New(`Unable to render top file: `), refine: topReason, sentence: `The list that says which recipes this server gets can't be read: {line}`, next: askOpsRecipe,
		samples: []sample{{step: "no.None No States", says: "Unable to render top file: Jinja variable 'role' is undefined", names: []string{"role"}}}},
	{code: "recipe_error", who: ops, in: "no", refine: commentLine, sentence: `The server was given nothing to do: {line}`, next: askOpsRecipe,
		samples: []sample{{step: "no.None No States", says: "The roster is closed", names: []string{"The roster is closed"}}}},
	{code: "salt_exception", who: ops, re: lazyregexp.New(`Parallel (?:process|cache)|parallel process`), sentence: `The step "{step}" ran beside others and its process was lost before it could say how it ended.`, next: tryAgain,
		samples: []sample{{step: "cmd.run make", says: "Parallel cache failure"}, {step: "cmd.run make", says: "Parallel process failed to return"}}},
}

// How Salt asks whether a step is to run: call and _run_check_function in
// salt/state.py, of 3006 and 3008. Only frames of the loader after it mean that
// the function itself was not reached.
const (
	guarded     = `(?s)An exception occurred in this state: Traceback.*, in _run_check_(?P<guard>unless|onlyif|creates)\n`
	lazyFrames  = `(?:  File "[^"\n]*\blazy\.py", line \d+, in \w+\n[^\n]*\n(?:[ ~^]+\n)?)+`
	guardCalled = guarded + `.*, in _run_check_function\n[^\n]*\n(?:[ ~^]+\n)?` + lazyFrames

	guardSample = "An exception occurred in this state: Traceback (most recent call last):\n  File \"/opt/salt/salt/state.py\", line 1300, in _run_check_unless\n    result = self._run_check_function(entry)\n             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\n  File \"/opt/salt/salt/state.py\", line 1171, in _run_check_function\n    return self.functions[fun](*cdata[\"args\"], **cdata[\"kwargs\"])\n           ~~~~~~~~~~~~~~^^^^^\n"
	lazySample  = "  File \"/opt/salt/salt/loader/lazy.py\", line 519, in __getitem__\n    _ = super().__getitem__(item)  # try to get the item from the dictionary\n        ^^^^^^^^^^^^^^^^^^^^^^^^^\n  File \"/opt/salt/salt/utils/lazy.py\", line 104, in __getitem__\n    raise KeyError(key)\n"
	runSample   = "  File \"/opt/salt/salt/loader/lazy.py\", line 1505, in _run_as\n    ret = _func_or_method(*args, **kwargs)\n          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\n"
)

// exceptionRecords are exceptions of a state: the last line tells which.
var exceptionRecords = []record{
	{code: "disk_full", who: ops, re: lazyregexp.New(`(?s)Traceback.*(?:No space left|ENOSPC|Errno 28|Disk quota)`), sentence: `The server's disk is full: the step "{step}" could not go on.`, next: nextDisk,
		samples: []sample{{step: "file.managed /srv/a", says: "An exception occurred in this state: Traceback (most recent call last):\n  File \"x.py\", line 1, in y\nOSError: [Errno 28] No space left on device\n"}}},
	{code: "permission_denied", who: ops, re: lazyregexp.New(`(?s)Traceback.*(?:PermissionError: [^\n:]*|OSError: \[Errno (?:1|13|30)\][^\n:]*)(?:: '(?P<path>[^'\n]+)')?`), sentence: `The step "{step}" has no permission to change "{path}".`, refine: pathOrName, next: askOps, subject: "{path}",
		samples: []sample{{step: "host.present db", says: "An exception occurred in this state: Traceback (most recent call last):\n  File \"x.py\", line 1, in y\nPermissionError: [Errno 13] Permission denied: '/etc/hosts'\n", names: []string{"/etc/hosts"}}}},
	{code: "out_of_memory", who: ops, re: lazyregexp.New(`(?s)Traceback.*\nMemoryError`), sentence: `The server ran out of memory in the step "{step}".`, next: askOps,
		samples: []sample{{step: "archive.extracted /srv/a", says: "An exception occurred in this state: Traceback (most recent call last):\n  File \"x.py\", line 1, in y\nMemoryError\n"}}},
	{code: "user_missing", who: ops, re: lazyregexp.New(`(?s)Traceback.*KeyError: ["'].*get(?:pw|gr)nam\(\): name not found: ["\\]*'(?P<user>[^'\\]+)`), sentence: `The user or group "{user}" does not exist on the server (step "{step}").`, next: askOps, subject: "{user}",
		samples: []sample{{step: "ssh_auth.present key", says: "An exception occurred in this state: Traceback (most recent call last):\n  File \"x.py\", line 1, in y\nKeyError: \"getpwnam(): name not found: 'reporter'\"\n", names: []string{"reporter"}}}},
	{code: "workdir_missing", who: ops, re: lazyregexp.New(`Specified cwd '(?P<path>[^'\n]+)' either not absolute or does not exist`), sentence: `The folder "{path}" that the step "{step}" works in does not exist.`, next: askOps, subject: "{path}",
		samples: []sample{{step: "module.run build", says: "An exception occurred in this state: Traceback (most recent call last):\n  File \"x.py\", line 1, in y\nsalt.exceptions.CommandExecutionError: Specified cwd '/srv/none' either not absolute or does not exist\n", names: []string{"/srv/none"}}}},
	{code: "path_missing", who: ops, in: "file ini key_value augeas acl host cron", re: lazyregexp.New(`(?s)An exception occurred in this state: .*\[Errno 2\] No such file or directory: '(?P<path>/[^'\n]+)'`), sentence: `"{path}" can't be written or read: it, or its folder, does not exist on the server (step "{step}").`, next: askOpsRecipe, subject: "{path}",
		samples: []sample{{step: "ini.options_present /srv/no/x.ini", says: "An exception occurred in this state: Traceback (most recent call last):\n  File \"x.py\", line 1, in y\nFileNotFoundError: [Errno 2] No such file or directory: '/srv/no/x.ini'\n", names: []string{"/srv/no/x.ini"}}}},
	{code: "state_module_missing", who: ops, re: lazyregexp.New(guardCalled + `KeyError: (?:'(?P<fn>[^'\n]+)'|"The key '(?P<f2>[^'\n]+)' should contain a)`), refine: unknownGuard,
		sentence: `The recipe "{recipe}" asks "{fn}" whether to run its step "{step}" ({guard}), and this server does not know it.`, next: askOpsRecipe, subject: "{fn} {recipe}",
		samples: []sample{
			{step: "cmd.run make", says: guardSample + lazySample + "KeyError: 'shop.built'\n", names: []string{`"shop.built"`, `"shop"`, "unless"}},
			{step: "cmd.run make", says: guardSample + lazySample + "KeyError: \"The key 'built' should contain a '.'\"\n", names: []string{`"built"`, `"shop"`}},
			{step: "cmd.run make", says: guardSample + lazySample + "KeyError: 'The key must be a string.'\n", names: []string{"no function's name", `"shop"`}, code: "recipe_error"},
		}},
	{code: "recipe_error", who: ops, re: lazyregexp.New(guardCalled + `TypeError: (?:\w+\.)*(?P<fn>\w+)\(\) (?P<why>(?:got|missing|takes)\b[^\n]+)`), refine: guardArgs,
		sentence: `The recipe "{recipe}" asks "{fn}" wrongly whether to run its step "{step}" ({guard}): {why}.`, next: askOpsRecipe,
		samples: []sample{
			{step: "cmd.run make", says: guardSample + runSample + "TypeError: file_exists() got an unexpected keyword argument 'pathh'\n", names: []string{`"file_exists"`, `does not take "pathh"`, `"shop"`}},
			{step: "cmd.run make", says: guardSample + runSample + "TypeError: contains() missing 2 required positional arguments: 'path' and 'text'\n", names: []string{`"contains"`, `lacks "path", "text"`}},
			{step: "cmd.run make", says: guardSample + runSample + "TypeError: version() takes 0 positional arguments but 1 was given\n", names: []string{`"version"`, "takes 0 positional arguments but 1 was given"}},
		}},
	{code: "salt_exception", who: ops, re: lazyregexp.New(guarded), refine: guardBroke,
		sentence: `The recipe "{recipe}" asks whether to run its step "{step}" ({guard}), and that ended with an error: {line}`, next: askOpsRecipe,
		samples: []sample{{step: "file.managed /srv/a", says: guardSample + runSample + "  File \"/opt/salt/salt/modules/file.py\", line 2644, in replace\n    raise SaltInvocationError(f\"File not found: {path}\")\nsalt.exceptions.SaltInvocationError: File not found: /srv/b\n", names: []string{"/srv/b", `"shop"`, "unless"}}}},
	{code: "state_module_missing", who: ops, re: lazyregexp.New(`(?s)Traceback.*\n` + lazyFrames + `KeyError: '(?P<fn>\w+\.\w+)'`),
		sentence: `The recipe's step "{step}" needs "{fn}", which this server does not know.`, next: askOps, subject: "{fn}",
		samples: []sample{{step: "shop.deployed x", says: "An exception occurred in this state: Traceback (most recent call last):\n  File \"shop.py\", line 2, in deployed\n    return __salt__[\"shop.build\"](name)\n" + lazySample + "KeyError: 'shop.build'\n", names: []string{`"shop.build"`}}}},
	{code: "salt_exception", who: ops, re: lazyregexp.New(`(?s)An exception occurred in this state: .*|^Traceback \(most recent call last\)`), refine: exceptionLine,
		sentence: `The recipe's step "{step}" broke while it ran: {line}`, next: askOpsRecipe,
		samples: []sample{{step: "shop.deployed x", says: "An exception occurred in this state: Traceback (most recent call last):\n  File \"shop.py\", line 2, in deployed\n    raise RuntimeError('no licence left')\nRuntimeError: no licence left\n", names: []string{"no licence left"}}, {step: "shop.deployed x", says: "An exception occurred in this state:   + Exception Group Traceback (most recent call last):\n  |   File \"shop.py\", line 7, in deployed\n  | ExceptionGroup: two things went wrong (2 sub-exceptions)\n  +-+---------------- 1 ----------------\n    | ValueError: no licence left\n    +---------------- 2 ----------------\n    | KeyError: 'x'\n    +------------------------------------\n", names: []string{"two things went wrong", "no licence left"}}, {step: "shop.deployed x", says: "An exception occurred in this state: Malformed state return. Data must be a dictionary type.", names: []string{"must be a dictionary"}}}},
}

// anyRecords are what any state can say.
var anyRecords = []record{
	{code: "port_in_use", who: ops, text: both, re: lazyregexp.New(portInUse), refine: findPort, sentence: `A port{port} that the step "{step}" needs is already taken on the server.`, next: askOps,
		samples: []sample{{step: "shop.deployed x", says: "OSError: [Errno 98] Address already in use: ('0.0.0.0', 8080)", names: []string{"8080"}}}},
	{code: "out_of_memory", who: ops, text: both, re: lazyregexp.New(outOfMemory), sentence: `The server ran out of memory in the step "{step}".`, next: `Ask ops to give this size more memory; then "berth env retry NAME".`,
		samples: []sample{{step: "shop.deployed x", says: "fork: Cannot allocate memory"}}},
	{code: "permission_denied", who: ops, re: lazyregexp.New(denied + `|(?i:access denied|not authorized|must be (?:run as )?root)`), refine: commentLine, sentence: `The step "{step}" has no permission for what it does: {line}`, next: askOps,
		samples: []sample{{step: "shop.deployed x", says: "Failed to set vm.swappiness: Operation not permitted", names: []string{"vm.swappiness"}}}},
	{code: "service_failed", who: ops, in: "mysql* postgres* mongodb* redis* influxdb* rabbitmq*", re: lazyregexp.New(offline + `|(?i:can't connect|could not connect)`), refine: commentLine, sentence: `The step "{step}" could not reach its database or broker: {line}`, next: askOps,
		samples: []sample{{step: "mysql_database.present shop", says: "MySQL Error 2002: Can't connect to local MySQL server through socket '/run/mysqld/mysqld.sock' (2)", names: []string{"2002"}}}},
	{code: "service_failed", who: ops, in: "mysql* postgres* mongodb* redis* influxdb* rabbitmq*", when: logTells(offline + `|(?i:can't connect|could not connect|connection to server|error connecting)`), refine: loggedReason, sentence: `The step "{step}" could not reach its database or broker: {line}`, next: askOps,
		samples: []sample{{step: "postgres_user.present shop", says: "Failed to create user shop", stderr: "[ERROR   ] Command '/usr/bin/psql' failed with return code: 2\n[ERROR   ] stderr: psql: error: connection to server on socket \"/var/run/postgresql/.s.PGSQL.5432\" failed: No such file or directory\n\tIs the server running locally and accepting connections on that socket?\n[ERROR   ] retcode: 2", names: []string{"connection to server on socket"}}}},
	{code: "salt_exception", who: retry, re: lazyregexp.New(offline), refine: commentLine, sentence: `The step "{step}" could not reach something over the network: {line}`, next: tryAgain,
		samples: []sample{{step: "shop.deployed x", says: "HTTPConnectionPool(host='licence.acme.io', port=80): Max retries exceeded: [Errno 111] Connection refused", names: []string{"licence.acme.io"}}}},
	{code: "user_missing", who: ops, re: lazyregexp.New(`User '?(?P<user>[^'\n]+?)'? (?:is not available|does not exist|not found)`), sentence: `The user "{user}" does not exist on the server (step "{step}").`, next: askOps, subject: "{user}",
		samples: []sample{{step: "shop.deployed x", says: "User 'deploy' not found", names: []string{"deploy"}}}},
	{code: "state_module_missing", who: ops, re: lazyregexp.New(`'?(?P<fn>\w+\.\w+)'? is not available`), sentence: `The recipe's step "{step}" calls "{fn}", which this server does not know.`, next: askOps, subject: "{fn}",
		samples: []sample{{step: "shop.deployed x", says: "'boto_ec2.exists' is not available.", names: []string{"boto_ec2.exists"}}}},
	{code: "command_failed", who: ops, re: lazyregexp.New(`^check_cmd (?:execution failed|determined the state failed)`), refine: checkCommand, sentence: `The step "{step}" ran, but the check after it did not pass{because}`, next: askOps,
		samples: []sample{{step: "shop.deployed x", says: "check_cmd determined the state failed", names: []string{sampleID}}}},
	{code: "salt_exception", who: ops, in: "module salt", refine: commentLine, sentence: `The recipe's step "{step}" called a function that failed: {line}`, next: askOpsRecipe,
		samples: []sample{{step: "module.run build", says: "'shop.build' failed: went wrong", names: []string{"went wrong"}}}},
	// How states word it, whichever they are.
	{code: "recipe_error", who: ops, re: lazyregexp.New(`(?i)\bmust (?:be|have|contain|provide|specify|end)\b|\b(?:is|are) required\b|only supported|not supported|mutually exclusive|does not work with|cannot (?:be used|be combined|contain)|should be an?\b|not formed as|not implemented|is not an? (?:valid|list|string|dict|boolean|integer)|invalid(?:ly)?\b.*\b(?:argument|parameter|value|name|format|characters)|not specified|(?:no|not) \S+ (?:provided|specified|given)|would result in empty|differs from present|mix of`), refine: unknownStep,
		sentence: `The recipe's step "{step}" is not right: {line}`, next: askOpsRecipe,
		samples: []sample{
			{step: "debconf.set_file shop", says: "Context must be formed as a dict", names: []string{"Context must be formed"}},
			{step: "pkgbuild.built shop", says: "'results' argument is required", names: []string{"'results'"}},
			{step: "etcd.mod_watch /shop", says: "etcd.set does not work with the watch requisite, please use etcd.wait_set or etcd.wait_rm", names: []string{"etcd.wait_set"}},
		}},
	{code: "salt_exception", who: ops, re: lazyregexp.New(`(?i)\bfail(?:ed|ure)?\b|\bunable\b|\bcould ?n[o']t\b|\bcannot\b|\bcan't\b|\berrors?\b|\bissues\b|\bproblem\b|\bwere not \w+`), refine: didNotSucceed,
		sentence: `The step "{step}" did not succeed: {line}`, next: askOps,
		samples: []sample{
			{step: "apache_module.enabled rewrite", says: "Failed to enable rewrite Apache module", names: []string{"rewrite"}},
			{step: "pyenv.installed python-3.12", says: "pyenv failed to install", stderr: "[INFO    ] Executing state pyenv.installed\n[ERROR   ] fatal: unable to look up github.test (port 9418)", names: []string{"python-3.12", "pyenv failed to install", "github.test"}},
			{step: "postgres_extension.present hstore", says: "Failed to install extension hstore", names: []string{"hstore"}},
		}},
	{code: "salt_exception", who: ops, re: lazyregexp.New(`(?i)\bdoes ?n[o']t exists?\b|\bnot (?:found|installed|present)\b|\bno such\b|\b(?:is|are) missing\b|\bno \w+ found\b`), refine: unknownStep,
		sentence: `The step "{step}" needs something that is not on the server: {line}`, next: askOps,
		samples: []sample{{step: "sysfs.present kernel/mm/x", says: "SysFS attribute kernel/mm/x doesn't exist.", names: []string{"kernel/mm/x"}}, {step: "grains.append roles", says: "Grain roles does not exist", names: []string{"roles"}}}},
}

// Two more ways in which states word it.
var foundOtherwise = []record{
	{code: "state_module_missing", who: ops, re: lazyregexp.New(`'(?P<fn>\w+\.\w+)' modules? not available|^(?P<f2>\w+) module not activated`), refine: func(f *failure, _ *finding) { coalesce(f, "fn", "f2") }, sentence: `The recipe's step "{step}" calls "{fn}", which this server does not know.`, next: askOps, subject: "{fn}",
		samples: []sample{{step: "helm.release_present shop", says: "'helm.install' modules not available on this minion.", names: []string{"helm.install"}}, {step: "supervisord.running shop", says: "Supervisord module not activated. Do you need to install supervisord?", names: []string{"Supervisord"}}}},
	{code: "salt_exception", who: ops, re: lazyregexp.New(`(?i)\bexists?(?: and| but|,)|\bmultiple\b|\bmore than one\b|\balready (?:present|associated|exists)|\bin use\b|\bis (?:stopped|disabled|different)\b|\bis not (?:running|configured|enabled|changed)\b|\bnot respond|\bdo(?:es)? ?not (?:match|map)\b|\bnot eligible\b`), refine: unknownStep,
		sentence: `The step "{step}" found the server otherwise than the recipe expects: {line}`, next: askOps,
		samples: []sample{
			{step: "svn.latest /srv/shop", says: "/srv/shop exists but is not a svn working copy.", names: []string{"/srv/shop", "working copy"}},
			{step: "zone.attached web", says: "zone web is not configured!", names: []string{"web"}},
			{step: "sqlite3.table_absent orders", says: "Multiple tables with the same name='orders'", names: []string{"orders"}},
		}},
}

// logTells says whether what was logged beside a failure holds a text.
func logTells(pattern string) func(*failure) bool {
	return func(f *failure) bool { return re(pattern).MatchString(f.vars["stderr"]) }
}

// loggedReason is the line of the log that tells most.
func loggedReason(f *failure, _ *finding) { f.vars["line"] = reasonInLog(f.vars["stderr"]) }

// inLog begins a line of the log that Salt has put a text of others into.
var inLog = re(`^(?:\[\w+\s*\] )?(?:std(?:err|out): )?`)

func reasonInLog(log string) string {
	var said []string
	for _, l := range lines(log) {
		if t := inLog.ReplaceAllString(strings.TrimSpace(l), ""); !re(`failed with return code: \d+$|^retcode: |^Executing |^Running state |^Completed state `).MatchString(t) {
			said = append(said, t)
		}
	}
	return telling(strings.Join(said, "\n"), "")
}

// didNotSucceed adds the reason that was logged where the comment tells none.
func didNotSucceed(f *failure, x *finding) {
	unknownStep(f, x)
	if line := f.vars["line"]; !strings.Contains(line, ": ") {
		if reason := reasonInLog(f.vars["stderr"]); reason != "" && !strings.Contains(reason, line) && !strings.Contains(line, reason) {
			f.vars["line"] = strings.TrimRight(line, ".") + ": " + reason
		}
	}
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

// topUnread says whether only standard error tells that the list of recipes is
// broken: the result says the same as when there is none.
func topUnread(f *failure) bool {
	return strings.Contains(f.vars["stderr"], "Unable to render top file: ")
}

func missingArgs(f *failure, _ *finding) {
	var all []string
	for _, m := range re(`(?m)^Missing parameter (\S+) for state`).FindAllStringSubmatch(f.comment, -1) {
		all = append(all, m[1])
	}
	f.vars["arg"] = strings.Join(all, ", ")
}

func moduleReason(f *failure, _ *finding) {
	coalesce(f, "fn", "f2")
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

func firstFn(f *failure, _ *finding) { coalesce(f, "fn", "f2", "f3", "f4", "f5") }

func exceptionLine(f *failure, _ *finding) {
	f.vars["line"] = strings.TrimPrefix(lastException(f.comment), "An exception occurred in this state: ")
	f.vars["line"] = strings.ReplaceAll(f.vars["line"], "Malformed state return", "malformed answer")
}

// inRecipe leaves out the recipe's name where Salt does not tell it.
func inRecipe(f *failure, x *finding) {
	if f.vars["recipe"] == "" {
		x.sentence = strings.Replace(x.sentence, `The recipe "{recipe}"`, "The recipe", 1)
	}
}

func unknownGuard(f *failure, x *finding) {
	inRecipe(f, x)
	if coalesce(f, "fn", "f2") == "The key must be a string." {
		x.code, x.subject = "recipe_error", ""
		x.sentence = strings.Replace(x.sentence, `asks "{fn}" whether to run its step "{step}" ({guard}), and this server does not know it.`, `does not rightly say what to ask whether to run its step "{step}" ({guard}): it is no function's name.`, 1)
	}
}

func guardArgs(f *failure, x *finding) {
	inRecipe(f, x)
	why := f.vars["why"]
	f.vars["why"] = "it " + why
	if m := re(`^got an unexpected keyword argument '([^'\n]+)'`).FindStringSubmatch(why); m != nil {
		f.vars["why"] = `it does not take "` + m[1] + `"`
	} else if _, args, ok := strings.Cut(why, ": "); ok && strings.HasPrefix(why, "missing ") {
		f.vars["why"] = "it lacks " + strings.NewReplacer(", and ", ", ", " and ", ", ", "'", `"`).Replace(args)
	}
}

func guardBroke(f *failure, x *finding) {
	inRecipe(f, x)
	exceptionLine(f, x)
}
