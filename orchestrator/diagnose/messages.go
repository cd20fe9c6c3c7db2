package diagnose

import (
	"fmt"
	"regexp"
	"sort"
	"strings"

	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

// messageRecords are the refusals of a whole run: nothing ran. The first ones
// say what stands in the way, then what is wrong with settings, with a recipe's
// place, with its text, and with its form.
var messageRecords = join(busyRecords, settingsRecords, placeRecords, textRecords, formRecords, refusedRecords)

var busyRecords = []record{
	{code: "salt_busy", who: retry, re: lazyregexp.New(`is running as PID (?P<pid>\d+)|Job queued for execution|is already running`), sentence: `The server is still busy with an earlier setup.`, next: tryAgain,
		samples: []sample{{says: `The function "state.apply" is running as PID 4711 and was started at 2026, Nov 24 20:55:01.123456 with jid 20261124205501123456`}}},
	{code: "salt_busy", who: retry, re: lazyregexp.New(`Failed to queue job: (?P<reason>[^\n]+)`), sentence: `The server is busy with an earlier setup and could not take this one: {reason}`, next: tryAgain,
		samples: []sample{{says: "Failed to queue job: unable to write queue file"}}},
	{code: "salt_exception", who: ops, re: lazyregexp.New(`The state file "(?P<sls>[^"]+)" is currently disabled`), sentence: `Ops have disabled the recipe "{sls}" on this server.`, next: askOps,
		samples: []sample{{says: `The state file "web" is currently disabled by "web", to re-enable, run state.enable web`, names: []string{`"web"`}}}},
	{code: "salt_exception", who: ops, re: lazyregexp.New(`^Disabled$|(?i)highstate.*disabled|function .* (?:is|has been) (?:currently )?disabled`), sentence: `Ops have disabled setups on this server.`, next: askOps,
		samples: []sample{{says: "Disabled"}}},
	{code: "salt_busy", who: ops, re: lazyregexp.New(`(?i)minion in blackout mode`), sentence: `Ops have locked this server: nothing may be set up on it now.`, next: askOps,
		samples: []sample{{says: "Minion in blackout mode. Set 'minion_blackout' to False in pillar or grains to resume operations. Only saltutil.refresh_pillar allowed in blackout mode."}}},
	{code: "requisite_missing", who: ops, re: lazyregexp.New(`Referenced state does not exist for requisite \[(?P<kind>\w+): \((?P<ref>.+?)\)\] in state \[(?P<st>(?s:.*?))\] in SLS \[(?P<sls>[^\]]*)\]`), sentence: `The recipe "{sls}" waits on "{ref}", which no recipe has.`, next: askOpsRecipe, subject: "{ref} {sls}",
		samples: []sample{{says: "Referenced state does not exist for requisite [require: (pkg: redis)] in state [web-root] in SLS [web]", names: []string{"pkg: redis", "web"}}}},
	{code: "requisite_cycle", who: ops, re: lazyregexp.New(`(?i)recursive requisites? (?:were |was )?found`), refine: circle, sentence: `Steps of the recipe wait on each other in a circle: "{ids}".`, next: askOpsRecipe,
		samples: []sample{{says: "Recursive requisites were found: ({'SLS': 'web', 'ID': 'a1', 'NAME': 'a1'}, 'require', {'SLS': 'web', 'ID': 'b2', 'NAME': 'b2'}), ({'SLS': 'web', 'ID': 'b2', 'NAME': 'b2'}, 'require', {'SLS': 'web', 'ID': 'a1', 'NAME': 'a1'})", names: []string{"a1", "b2"}}}},
	{code: "recipe_conflict", who: ops, re: lazyregexp.New(`conflicting ID is '(?P<id>[^'\n]+)' and is found in SLS '(?P<sls>[^'\n]+)' and SLS '(?P<s2>[^'\n]+)'`), refine: noEnv, sentence: `Two recipes use the same name "{id}": "{sls}" and "{s2}".`, next: askOpsRecipe, subject: "{id}",
		samples: []sample{{says: "Detected conflicting IDs, SLS IDs need to be globally unique.\n    The conflicting ID is 'web-root' and is found in SLS 'base:web' and SLS 'base:inc'", names: []string{"web-root", `"web"`, `"inc"`}}}},
}

// settingsRecords come before what is said of recipes in the same words. A
// message about settings begins with "Pillar: ", see messages.
var settingsRecords = []record{
	{code: "settings_error", who: ops, re: lazyregexp.New(`^Pillar: (?:Rendering Primary Top file failed, render error:|Rendering Top file .{1,80} failed, render error:|Error encountered while rendering pillar top file)(?P<reason>(?s:.*))`), refine: settingsTop, sentence: `The list that says which settings this server gets can't be read{reason}.`, next: askSettings,
		samples: []sample{{says: "Pillar: Rendering Primary Top file failed, render error:\nfound character '\\t' that cannot start any token; line 2"}, {says: "Pillar: Error encountered while rendering pillar top file."}}},
	{code: "settings_error", who: ops, re: lazyregexp.New(`(?s)Could not decrypt cipher|(?i)failed to decrypt pillar key`), sentence: `A setting of this server is encrypted, and the server can't decrypt it.`, next: askSettings,
		samples: []sample{{says: "Failed to decrypt pillar key shop:token: Could not decrypt cipher b'-----BEGIN PGP MESSAGE-----'"}}, when: ofSettings},
	{code: "settings_error", who: ops, re: lazyregexp.New(`Pillar: Rendering SLS '(?:\w+:)?(?P<sls>[^'\n]+)' failed|Pillar render error: Rendering SLS '(?P<s2>[^'\n]+)'`), refine: settingsReason, sentence: `The settings file "{sls}" can't be read{reason}.`, next: askSettings, subject: "{sls}",
		samples: []sample{{says: "Pillar: Rendering SLS 'shop' failed. Please see master log for details.", prints: "[CRITICAL] Rendering SLS 'shop' failed, render error:\nJinja variable 'db_host' is undefined; line 1\n\n---\ndb: {{ db_host }}    <======================\n---\n", names: []string{`"shop"`, "db_host"}}}},
	{code: "settings_error", who: ops, re: lazyregexp.New(`(?:Pillar: |Pillar render error: )Specified SLS '?(?P<sls>[^'\s]+)'?`), sentence: `The settings file "{sls}" does not exist.`, next: askSettings, subject: "{sls}",
		samples: []sample{{says: "Pillar: Specified SLS 'secrets' in environment 'base' is not available on the salt master", names: []string{"secrets"}}}},
	{code: "settings_error", who: ops, re: lazyregexp.New(`^Pillar: .*\bSLS '(?P<sls>[^'\n]+)' (?:does not render to a dictionary|is not formed as a list)`), sentence: `The settings file "{sls}" is not written as it must be: {line}`, next: askSettings, subject: "{sls}",
		samples: []sample{{says: "Pillar: SLS 'shop' does not render to a dictionary", names: []string{"shop"}}, {says: "Pillar: Include Declaration in SLS 'shop' is not formed as a list", names: []string{"shop"}}}},
	{code: "settings_error", who: ops, re: lazyregexp.New(`(?i)Failed to load ext_pillar (?P<name>[^:\n]+): (?P<reason>[^\n]+)`), sentence: `Settings that come from "{name}" can't be read: {reason}`, next: askSettings, subject: "{name}",
		samples: []sample{{says: "Pillar: Failed to load ext_pillar vault: 403 Client Error: Forbidden", names: []string{"vault", "403"}}}},
	{code: "settings_error", who: ops, re: lazyregexp.New(`(?s)Traceback.*/pillar/__init__\.py", line \d+, in (?:merge_tops|top_matches|get_tops?|render_pillar|ext_pillar|compile_pillar|sort_top_targets)\b.*`), sentence: `The settings of this server can't be read, reading them ended with an error: {line}`, next: askSettings,
		samples: []sample{{says: "[ERROR   ] An un-handled exception was caught by Salt's global exception handler:\nAttributeError: 'list' object has no attribute 'items'\nTraceback (most recent call last):\n  File \"/opt/salt/salt/pillar/__init__.py\", line 762, in merge_tops\n    for saltenv, targets in ctop.items():\nAttributeError: 'list' object has no attribute 'items'\n", names: []string{"'items'"}}}},
	{code: "settings_error", who: ops, re: lazyregexp.New(`^Pillar: (?P<rest>(?s:.*))|Pillar failed to render|Pillar render error`), sentence: `The settings of this server can't be read: {line}`, next: askSettings,
		samples: []sample{{says: `Pillar: The "ext_pillar" option is malformed`}, {says: "Pillar render error: 'vault'"}}},
	{code: "settings_error", who: ops, re: lazyregexp.New(`(?i)pillar data must be|unable to parse pillar|pillar='?.* (?:invalid|must be)|The pillar`), sentence: `The settings that were given with the setup are not valid: {line}`, next: askSettings,
		samples: []sample{{says: "Passed invalid arguments: Pillar data must be formatted as a dictionary, unless pillar_enc is specified..\n\nUsage:\n"}}},
}

// placeRecords are recipes that are not there, and servers that have none.
var placeRecords = []record{
	{code: "recipe_missing", who: ops, re: lazyregexp.New(`(?:Unknown|Ambiguous) include: Specified SLS (?:\w+: )?(?P<sls>[^\s']+) is (?P<many>available)?`), refine: ambiguous, sentence: `A recipe includes "{sls}", which does not exist{many}.`, next: askOpsRecipe, subject: "{sls}",
		samples: []sample{{says: "Unknown include: Specified SLS base: web.tls is not available on the salt master in saltenv(s): base ", names: []string{"web.tls"}}}},
	{code: "recipe_missing", who: ops, re: lazyregexp.New(`No matching sls found for '(?P<sls>[^'\n]+)'|Specified SLS '?(?P<s2>[^'\s]+)'? (?:in (?:saltenv|environment) \S+ is not available|on local filesystem cannot be found)|SLS '?(?P<s3>[^'\s]+)'? (?:was|is) not found`), refine: slsName, sentence: `The recipe "{sls}" does not exist.`, next: askOpsRecipe, subject: "{sls}",
		samples: []sample{{says: "No matching sls found for 'webb' in env 'base'", names: []string{"webb"}}, {says: "Specified SLS web.tls in saltenv base is not available on the salt master or through a configured fileserver", names: []string{"web.tls"}}}},
	{code: "recipe_missing", who: ops, re: lazyregexp.New(`Nonexistent saltenv '(?P<env>[^'\n]+)' found in include of '(?P<what>[^'\n]+)' within SLS '(?:[^':\n]+:)?(?P<sls>[^'\n]+)'`), sentence: `The recipe "{sls}" includes "{what}" of "{env}", a set of recipes that does not exist.`, next: askOpsRecipe, subject: "{sls}",
		samples: []sample{{says: "Nonexistent saltenv 'prod' found in include of 'base' within SLS 'base:web'", names: []string{"prod", "web"}}}},
	{code: "recipe_missing", who: ops, re: lazyregexp.New(`(?:No matching salt environment for environment|saltenv) '(?P<env>[^'\n]+)' (?:found|does not exist|is not)`), sentence: `There is no set of recipes "{env}", from which this server's recipe should come.`, next: askOpsRecipe, subject: "{env}",
		samples: []sample{{says: "No matching salt environment for environment 'prod' found", names: []string{"prod"}}}},
	{code: "recipe_error", who: ops, re: lazyregexp.New(`(?:Attempted relative include of|Badly formatted include) '?(?P<what>[^'\s]+)'? .*SLS '(?:[^':\n]+:)?(?P<sls>[^'\n]+)'`), sentence: `The recipe "{sls}" includes "{what}", which is outside of the recipes.`, next: askOpsRecipe, subject: "{sls}",
		samples: []sample{{says: "Attempted relative include of '...base' within SLS 'base:web' goes beyond top level package ", names: []string{"web", "...base"}}}},
	{code: "no_role", who: ops, re: lazyregexp.New(`No Top file or master_tops|No states found for this minion|Top file .* not found`), sentence: `Ops have not said yet what this server should be: no recipe is assigned to it.`, next: askOps,
		samples: []sample{{says: "No Top file or master_tops data matches found. Please see master log for details."}}},
	{code: "recipe_error", who: ops, re: lazyregexp.New(`(?i)Top data was not formed|in top file is not formed|Empty saltenv statement in top file|top file matches for saltenv|Malformed topfile|Improperly formatted top file|contains an empty sls index|Unable to render top file`), refine: topReason, sentence: `The list that says which recipes this server gets is not written as it must be: {line}`, next: askOpsRecipe,
		samples: []sample{{says: "Malformed topfile: state declarations for matcher '*' in saltenv 'base' are not formed as a list (got str)", names: []string{"not formed as a list"}}, {says: "Unable to render top file: No targets found."}}},
}

// textRecords are recipes that can't be read.
var textRecords = []record{
	{code: "disk_full", who: ops, re: lazyregexp.New(`(?s)Rendering SLS.*(?:` + diskFull + `)`), sentence: `The server's disk is full: its recipe could not be read.`, next: nextDisk,
		samples: []sample{{says: "Rendering SLS 'base:web' failed: [Errno 28] No space left on device: '/var/cache/salt/minion/files/base/web.sls'"}}},
	{code: "recipe_conflict", who: ops, re: lazyregexp.New(`Rendering SLS '(?:\w+:)?(?P<sls>[^'\n]+)' failed: .*[Cc]onflicting ID,? (?:is )?'(?P<id>[^'\n]+)'`), sentence: `The recipe "{sls}" uses the name "{id}" twice.`, next: askOpsRecipe, subject: "{id}",
		samples: []sample{{says: "Rendering SLS 'base:web' failed: Conflicting ID 'web-root'; line 3\n\n---\nweb-root:\n---", names: []string{"web-root", `"web"`}, code: "recipe_conflict"}}},
	{code: "recipe_conflict", who: ops, re: lazyregexp.New(`conflicting ID,? (?:is )?'(?P<id>[^'\n]+)'|Detected conflicting IDs`), refine: rendering, sentence: `The recipe uses the name "{id}" twice.`, next: askOpsRecipe, subject: "{id}",
		samples: []sample{{says: "found conflicting ID 'web-root'", names: []string{"web-root"}}}},
	{code: "recipe_error", who: ops, re: lazyregexp.New(`Rendering SLS '?(?:\w+:)?(?P<sls>[^'\n]+?)'? failed(?:, render error)?:? ?(?P<reason>(?s:.*))`), refine: rendering, sentence: `The recipe "{sls}" has an error: {reason}`, next: askOpsRecipe, subject: "{sls}",
		samples: []sample{
			{says: "Rendering SLS 'base:web' failed: Jinja variable 'dict object' has no attribute 'listen_port'; line 3\n\n---\nweb-root:\n---", names: []string{`"web"`, "listen_port", "line 3"}},
			{says: "Rendering SLS web failed, render error: found undefined alias\n  in \"<unicode string>\", line 3, column 13\nTraceback (most recent call last):\n  File \"/opt/salt/state.py\", line 4350, in render_state\n    state = compile_template(\nyaml.composer.ComposerError: found undefined alias\n", names: []string{`"web"`, "undefined alias", "line 3"}},
			{says: "Rendering SLS web failed, render error: invalid syntax (web.sls, line 2)\nTraceback (most recent call last):\n  File \"/opt/salt/state.py\", line 4523, in render_state\nSyntaxError: invalid syntax\n", names: []string{`"web"`, "invalid syntax", "line 2"}},
			{says: "Rendering SLS 'base:web' failed: Jinja variable 'salt.utils.templates.AliasedLoader object' has no attribute 'consul.get'; line 1\n\n---\n---", names: []string{`"consul.get"`, "does not know"}},
			{says: "Rendering SLS 'base:web' failed: Could not decrypt cipher b'-----BEGIN PGP MESSAGE-----\\naaaa', received: b\"gpg: no valid OpenPGP data found.\"", names: []string{`"web"`, "decrypt"}},
		}},
}

// formRecords are recipes that can be read and don't say what they must.
var formRecords = []record{
	{code: "recipe_conflict", who: ops, re: lazyregexp.New(`ID '(?P<id>[^'\n]+)' in (?:SLS|template) '?(?P<sls>[^'\s]+)'? contains multiple state declarations of the same type`), sentence: `The recipe "{sls}" says twice what "{id}" should be.`, next: askOpsRecipe, subject: "{id}",
		samples: []sample{{says: "ID 'web-root' in SLS 'web' contains multiple state declarations of the same type", names: []string{"web-root", `"web"`}}}},
	{code: "recipe_error", who: ops, re: lazyregexp.New(`The function "(?P<fn>[^"\n]+)" in state "(?P<id>[^"\n]+)" in SLS "(?P<sls>[^"\n]+)" has whitespace`), sentence: `The recipe "{sls}" has "{fn}" in "{id}"; a colon seems to be missing in it.`, next: askOpsRecipe, subject: "{id}",
		samples: []sample{{says: `The function "makedirs True" in state "web-root" in SLS "web" has whitespace, a function with whitespace is not supported, perhaps this is an argument that is missing a ":"`, names: []string{"makedirs True", "web-root", `"web"`}}}},
	{code: "recipe_error", who: ops, re: lazyregexp.New(`Too many functions declared in state '(?P<id>[^'\n]+)' in SLS '(?P<sls>[^'\n]+)'(?:\. Please choose one of the following: (?P<what>[^\n]+))?`), refine: tooMany, sentence: `The recipe "{sls}" asks for too much at once in "{id}"{what}.`, next: askOpsRecipe, subject: "{id}",
		samples: []sample{{says: "Too many functions declared in state 'web-root' in SLS 'web'. Please choose one of the following: managed, directory", names: []string{"web-root", "managed, directory"}}}},
	{code: "recipe_error", who: ops, re: lazyregexp.New(`No function declared in (?:state )?'(?P<id>[^'\n]+)' in SLS '(?P<sls>[^'\n]+)'`), sentence: `The recipe "{sls}" does not say what "{id}" should do.`, next: askOpsRecipe, subject: "{id}",
		samples: []sample{{says: "No function declared in state 'web-root' in SLS 'web'", names: []string{"web-root", `"web"`}}}},
	{code: "recipe_error", who: ops, re: lazyregexp.New(`ID '(?P<id>[^'\n]+)' in (?:SLS|template) '?(?P<sls>[^'\s]+)'? contains a short declaration \((?P<fn>[^)\n]+)\) with a trailing colon`), sentence: `The recipe "{sls}" has a colon after "{fn}" in "{id}" and nothing behind it.`, next: askOpsRecipe, subject: "{id}",
		samples: []sample{{says: "ID 'web-root' in SLS 'web' contains a short declaration (file.directory) with a trailing colon. When not passing any arguments to a state, the colon must be omitted.", names: []string{"web-root", "file.directory", `"web"`}}}},
	{code: "recipe_error", who: ops, re: lazyregexp.New(`ID '(?P<id>[^'\n]+)' in SLS '(?P<sls>[^'\n]+)' is not formed as a string, but is (?:a |type )?(?P<what>\w+)`), sentence: `The recipe "{sls}" has the name "{id}", which is no text; it may need quotation marks.`, next: askOpsRecipe, subject: "{id}",
		samples: []sample{{says: "ID '42' in SLS 'web' is not formed as a string, but is type int. It may need to be quoted.", names: []string{`"42"`, `"web"`}}}},
	{code: "recipe_error", who: ops, re: lazyregexp.New(`ID '?(?P<id>.+?)'? in (?:SLS|template) '?(?P<sls>[^'\s]+)'? is not a dictionary|The type (?P<i2>\S+) in .* is not formatted as a dictionary`), refine: formOf, sentence: `The recipe{rec} does not say what "{id}" should be, or not in the form that it must have.`, next: askOpsRecipe, subject: "{id}",
		samples: []sample{{says: "ID web-root in SLS web is not a dictionary", names: []string{"web-root", `"web"`}}, {says: "The type web-root in [1, 2] is not formatted as a dictionary", names: []string{"web-root"}}}},
	{code: "recipe_error", who: ops, re: lazyregexp.New(`State '(?P<id>[^'\n]+)' in SLS '(?P<sls>[^'\n]+)' is not formed as a list`), sentence: `The recipe "{sls}" does not write what "{id}" should do as a list.`, next: askOpsRecipe, subject: "{id}",
		samples: []sample{{says: "State 'web-root' in SLS 'web' is not formed as a list", names: []string{"web-root", `"web"`}}}},
	{code: "recipe_error", who: ops, re: lazyregexp.New(`The '?(?P<req>\w+)'? (?:statement|requisite|declaration|argument) in state '?(?P<id>.+?)'? in SLS '?(?P<sls>[^'\s]+)'? (?:needs to be|is not) (?:formed as|formatted as) (?P<what>a[^,.\n]*)`), sentence: `The recipe "{sls}" writes "{req}" of "{id}" wrong: it must be {what}.`, next: askOpsRecipe, subject: "{id}",
		samples: []sample{{says: "The require statement in state 'web-root' in SLS 'web' needs to be formed as a list", names: []string{"require", "web-root", `"web"`}}, {says: "The 'names' argument in state 'web-root' in SLS 'web' needs to be formed as a list", names: []string{"names", "web-root"}}}},
	{code: "recipe_error", who: ops, re: lazyregexp.New(`Requisite declaration (?P<what>.+?) in (?:state (?P<id>.+?) in )?SLS (?P<sls>\S+) is not formed as a single key dictionary`), refine: formOf, sentence: `The recipe "{sls}" says wrongly what{of} waits on: {what}`, next: askOpsRecipe, subject: "{sls} {id}",
		samples: []sample{{says: "Requisite declaration OrderedDict([('file', 'x'), ('pkg', 'y')]) in state web-root in SLS web is not formed as a single key dictionary", names: []string{"web-root", `"web"`}}, {says: "Requisite declaration ['a', 'b'] in SLS web is not formed as a single key dictionary", names: []string{`"web"`}}}},
	{code: "recipe_error", who: ops, re: lazyregexp.New(`Invalid requisite (?:type '(?P<what>[^'\n]+)' in state '(?P<id>[^'\n]+)', in SLS|in \w+: (?P<w2>\S+) for (?P<i2>.+?),? in SLS) '(?P<sls>[^'\n]+)'\..*did you mean '(?P<mean>[^'\n]+)'`), refine: formOf, sentence: `The recipe "{sls}" waits on "{what}" in "{id}"; that must be "{mean}".`, next: askOpsRecipe, subject: "{id}",
		samples: []sample{{says: "Invalid requisite type 'test.nop' in state 'web-root', in SLS 'web'. Requisite types must not contain dots, did you mean 'test'?", names: []string{"test.nop", "web-root", `"web"`}}, {says: "Invalid requisite in watch: service.running for nginx, in SLS 'web'. Requisites must not contain dots, did you mean 'service'?", names: []string{"service.running", "nginx"}}}},
	{code: "recipe_error", who: ops, re: lazyregexp.New(`Illegal requisite "(?P<what>[^"\n]+)"(?: in SLS "?(?P<sls>[^"\s]+?)"?)?, please check`), refine: formOf, sentence: `The recipe{rec} waits on something in a form that it can't have: {what}`, next: askOpsRecipe, subject: "{sls}",
		samples: []sample{{says: "Illegal requisite \"['a', 'b']\" in SLS \"web\", please check your syntax.\n", names: []string{"['a', 'b']", `"web"`}}, {says: "Illegal requisite \"['a', 'b']\", please check your syntax.\n", names: []string{"['a', 'b']"}}}},
	{code: "recipe_error", who: ops, re: lazyregexp.New(`Multiple dictionaries defined in argument of state '(?P<id>[^'\n]+)' in SLS '(?P<sls>[^'\n]+)'`), sentence: `The recipe "{sls}" puts two things into one item of the list of "{id}"; a "-" or some spaces are missing.`, next: askOpsRecipe, subject: "{id}",
		samples: []sample{{says: "Multiple dictionaries defined in argument of state 'web-root' in SLS 'web'", names: []string{"web-root", `"web"`}}}},
	{code: "recipe_error", who: ops, re: lazyregexp.New(`(?P<what>Include|Exclude) Declaration in SLS '?(?P<sls>[^'\s]+)'? is not formed as a list`), refine: lowerWhat, sentence: `The recipe "{sls}" must write what it "{what}"s as a list.`, next: askOpsRecipe, subject: "{sls}",
		samples: []sample{{says: "Exclude Declaration in SLS web is not formed as a list", names: []string{`"web"`, "exclude"}}}},
	{code: "recipe_error", who: ops, re: lazyregexp.New(`Extension (?:value|name '(?P<id>[^'\n]+)') in SLS '(?P<sls>[^'\n]+)' is not a dictionary`), refine: formOf, sentence: `The recipe "{sls}" does not say in "extend" what{of} should become, or not in the form that it must have.`, next: askOpsRecipe, subject: "{sls}",
		samples: []sample{{says: "Extension name 'foo' in SLS 'web' is not a dictionary", names: []string{"foo", `"web"`}}, {says: "Extension value in SLS 'web' is not a dictionary", names: []string{`"web"`, "extend"}}}},
	{code: "recipe_error", who: ops, re: lazyregexp.New(`Cannot extend ID '(?P<id>[^'\n]+)' in '(?:\w+:)?(?P<sls>[^'\n]+)'`), sentence: `The recipe "{sls}" changes "{id}", which no recipe has.`, next: askOpsRecipe, subject: "{id}",
		samples: []sample{{says: "Cannot extend ID 'nginx' in 'base:web'. It is not part of the high state.\nThis is likely due to a missing include statement or an incorrectly typed ID.", names: []string{"nginx", `"web"`}}}},
	{code: "recipe_error", who: ops, re: lazyregexp.New(`(?:SLS|Template) '?(?P<sls>\S+?)'? does not render to a dictionary`), sentence: `The recipe "{sls}" is no recipe: its text is a list, words or a number.`, next: askOpsRecipe, subject: "{sls}",
		samples: []sample{{says: "SLS web does not render to a dictionary", names: []string{`"web"`}}}},
	{code: "recipe_error", who: ops, re: lazyregexp.New(`(?P<args>'[^'\n]+'(?: and '[^'\n]+'|, '[^'\n]+')*),? (?:is an invalid keyword argument|are invalid keyword arguments) for '(?P<fn>[^'\n]+)'`), refine: manyArgs, sentence: `A recipe gives "{fn}" the argument "{arg}", which it does not take.`, next: askOpsRecipe, subject: "{arg} {fn}",
		samples: []sample{{says: "Passed invalid arguments: 'colour' is an invalid keyword argument for 'group.present'..\n\nUsage:\n", names: []string{"colour", "group.present"}}, {says: "Passed invalid arguments: 'colour' and 'taste' are invalid keyword arguments for 'host.present'..\n\nUsage:\n", names: []string{"colour", "taste", "host.present"}}}},
	{code: "state_module_missing", who: ops, re: lazyregexp.New(`Specified state '(?P<fn>[^'\n]+)' was not found`), sentence: `The server was asked for "{fn}", which it does not know.`, next: askOpsRecipe, subject: "{fn}",
		samples: []sample{{says: "Specified state 'file.managd' was not found", names: []string{"file.managd"}}}},
	{code: "recipe_error", who: ops, re: lazyregexp.New(`(?:Illegal|Invalid|Malformed|Unknown|Requisite) (?:requisite|declaration).*?\bSLS '?(?P<sls>[\w./-]+)`), sentence: `The recipe "{sls}" is not written as it must be: {line}`, next: askOpsRecipe, subject: "{sls}",
		samples: []sample{{says: "Malformed requisite found in SLS 'web' at 'web-root'", names: []string{`"web"`}}}},
	{code: "recipe_error", who: ops, re: lazyregexp.New(`(?:Name|ID|State|SLS|Malformed|Illegal|Invalid).{0,160}(?:in SLS|SLS) '?(?:\w+:)?(?P<sls>[\w./-]+)'?.{0,200}(?:is not|must be|does not|cannot|needs|not formed|malformed|more than)|SLS (?P<s2>\S+) (?:does not render|is not formatted|contains|is malformed)|State '(?P<id>[^']+)' in SLS '(?P<s3>[^']+)'|unhashable type|(?:does not render to|is not formatted as) a dictionary`), refine: slsName, sentence: `The recipe{rec} is not written as it must be: {line}`, next: askOpsRecipe, subject: "{sls}",
		samples: []sample{{says: "Name web-root in SLS web must be a string", names: []string{`"web"`}}, {says: "Passed invalid arguments: unhashable type: 'collections.OrderedDict'..\n\nUsage:\n"}}},
}

// refusedRecords are what is left: the program is not there, or broke off.
var refusedRecords = []record{
	{code: "salt_missing", who: ops, re: lazyregexp.New(`salt-call: (?:command )?not found|salt-call['’]?: No such file|No module named '?salt\b|exec: "?\S*salt-call"?: (?:executable file )?not found`), sentence: `The program that sets up servers is not installed on this one.`, next: askOps,
		samples: []sample{{says: "bash: line 1: salt-call: command not found"}, {says: "ModuleNotFoundError: No module named 'salt'"}}},
	{code: "salt_exception", who: ops, re: lazyregexp.New(`(?m)^(?:\[\w+\s*\] )?'?(?P<fn>[\w.]+)'? is not available\.?(?: Possible reasons: .*)?$`), sentence: `The server was asked for "{fn}", which it does not know.`, next: askOps,
		samples: []sample{{says: "'state.aply' is not available.", names: []string{"state.aply"}}}},
	{code: "disk_full", who: ops, re: lazyregexp.New(diskFull), sentence: `The server's disk is full: {line}`, next: nextDisk,
		samples: []sample{{says: "OSError: [Errno 28] No space left on device: '/var/tmp/20261124'"}}},
	{code: "out_of_memory", who: ops, re: lazyregexp.New(`(?m)^MemoryError|Cannot allocate memory`), sentence: `The server ran out of memory during its setup.`, next: `Ask ops to give this size more memory; then "berth env retry NAME".`,
		samples: []sample{{says: "OSError: [Errno 12] Cannot allocate memory"}}},
	{code: "settings_error", who: ops, re: lazyregexp.New(`Error parsing configuration file: (?P<path>\S+) - (?P<reason>[^\n]+)`), sentence: `The server's own configuration "{path}" can't be read: {reason}`, next: askOps,
		samples: []sample{{says: "[ERROR   ] Error parsing configuration file: /etc/salt/minion - conf should be a document, not <class 'list'>.", names: []string{"/etc/salt/minion"}}}},
	{code: "user_missing", who: ops, re: lazyregexp.New(`(?i)no such user: ['"]?(?P<user>[^'"\s]+)|environment for user (?P<u3>\S+)\. The user is not available|User ['"]?(?P<u2>[^'"\s]+)['"]? (?:not found|does not exist|is not available)`), refine: func(f *failure, _ *finding) { coalesce(f, "user", "u2", "u3") }, sentence: `The user "{user}", as whom the setup should run, does not exist on the server.`, next: askOps, subject: "{user}",
		samples: []sample{{says: "[CRITICAL] User not found: \"deploy\"\nUser deploy does not exist", names: []string{"deploy"}}, {says: "Failed to prepare the Salt environment for user deploy. The user is not available.", names: []string{"deploy"}}}},
	{code: "recipe_error", who: ops, re: lazyregexp.New(`Passed invalid arguments(?: to \S+)?:? ?(?P<reason>(?:argument of type|'?\w+'? object|unhashable|can only concatenate|unsupported operand|'<' not supported|expected str|list indices)[^\n]*)`), sentence: `A recipe is not written as it must be, something in it has the wrong kind: {reason}`, next: askOpsRecipe,
		samples: []sample{{says: "Passed invalid arguments: argument of type 'int' is not iterable.\n\nUsage:\n"}}},
	{code: "recipe_error", who: ops, re: lazyregexp.New(`Passed invalid arguments(?: to \S+)?:? ?(?P<reason>[^\n]*)`), sentence: `The setup was called wrongly: {reason}`, next: askOps,
		samples: []sample{{says: "Passed invalid arguments to state.apply: got an unexpected keyword argument 'sls'"}}},
	{code: "recipe_error", who: ops, re: lazyregexp.New(`(?s)Traceback.*(?:, in (?:render_state|verify_high|_verify_high|reconcile_extend|requisite_in|compile_high_data|verify_tops|_?merge_tops\w*|get_tops?|top_matches|confirm_top|_handle_\w+))\b.*`), sentence: `A recipe is not written as it must be, and reading it ended with an error: {line}`, next: askOpsRecipe,
		samples: []sample{{says: "[ERROR   ] An un-handled exception was caught by Salt's global exception handler:\nAttributeError: 'int' object has no attribute 'startswith'\nTraceback (most recent call last):\n  File \"/opt/salt/salt/state.py\", line 4453, in render_state\n    if inc_sls.startswith(\".\"):\nAttributeError: 'int' object has no attribute 'startswith'\n", names: []string{"startswith"}}}},
	{code: "salt_exception", who: ops, re: lazyregexp.New(`The minion function caused an exception|ERROR executing '|TypeError encountered executing|Traceback \(most recent call last\)|An un-handled exception was caught`), sentence: `The setup broke off with an error: {line}`, next: askOps,
		samples: []sample{{says: "The minion function caused an exception: Traceback (most recent call last):\n  File \"/opt/salt/minion.py\", line 1, in _thread_return\nRuntimeError: no licence left\n", names: []string{"no licence left"}}}},
	{code: "permission_denied", who: ops, re: lazyregexp.New(denied), sentence: `The setup has no permission for what it does: {line}`, next: askOps,
		samples: []sample{{says: "[ERROR   ] Cannot write to process directory /var/cache/salt: Permission denied"}}},
	{code: "salt_exception", who: ops, re: lazyregexp.New(`Error running '[\w.]+': (?P<reason>[^\n]+)`), sentence: `The setup was refused: {reason}`, next: askOps,
		samples: []sample{{says: "Error running 'state.apply': The roster is closed", names: []string{"The roster is closed"}}}},
}

// stderrRecords are for runs that printed no result at all.
var stderrRecords = []record{
	{code: "settings_error", who: ops, re: lazyregexp.New(`(?i)configuration file|config(?:uration)? (?:error|option)|Failed to (?:load|parse) (?:the )?config`), sentence: `The server's own configuration is not right: {line}`, next: askOps,
		samples: []sample{{says: "[CRITICAL] Failed to load the config of the roster: bad indent", names: []string{"bad indent"}}}},
	{code: "salt_exception", who: ops, re: lazyregexp.New(`\[(?:CRITICAL|ERROR\s*)\] (?P<reason>[^\n]+)`), sentence: `The setup broke off with a message that Berth does not know: {reason}`, next: askOps,
		samples: []sample{{says: "[ERROR   ] The roster is closed for the season", names: []string{"closed for the season"}}}},
}

// killedRecords are for runs that were killed before they answered.
var killedRecords = []record{
	{code: "package_busy", who: retry, re: lazyregexp.New(`Waiting for dpkg lock|Could not get lock|dpkg frontend lock|Waiting for cache lock`), sentence: `The setup was stopped while it waited for another installation on the server to end.`, next: tryAgain,
		samples: []sample{{says: "[INFO    ] Waiting for dpkg lock release: retrying..."}}},
	{code: "disk_full", who: ops, re: lazyregexp.New(diskFull), sentence: `The setup was stopped; the server's disk is full.`, next: nextDisk,
		samples: []sample{{says: "OSError: [Errno 28] No space left on device"}}},
	{code: "unreadable", who: retry, re: lazyregexp.New(`^(?s:.*)$`), sentence: `The setup was killed before it answered (exit status {exit}), so it is not known what it did.`, next: tryAgain,
		samples: []sample{{says: "[INFO    ] Executing command git in directory /root", exit: 137, names: []string{"137"}}}},
}

// ofSettings says whether a message is about settings: a recipe can hold
// encrypted values too.
func ofSettings(f *failure) bool { return !strings.Contains(f.comment, "Rendering SLS") }

func settingsTop(f *failure, _ *finding) {
	if f.vars["reason"] = strings.Trim(f.vars["reason"], " .\n"); f.vars["reason"] != "" {
		f.vars["reason"] = ": " + reasonOf(f.vars["reason"])
	}
}

func topReason(f *failure, _ *finding) {
	if _, after, ok := strings.Cut(f.comment+"\n"+f.vars["stderr"], "Unable to render top file: "); ok {
		f.vars["line"] = reasonOf(after)
	}
	f.vars["line"] = strings.NewReplacer("state declarations", "recipes", "saltenv", "the set").Replace(f.vars["line"])
}

func ambiguous(f *failure, _ *finding) {
	if f.vars["many"] != "" {
		f.vars["many"] = ", or in more than one place"
	}
}

func tooMany(f *failure, _ *finding) {
	if f.vars["what"] != "" {
		f.vars["what"] = ": " + f.vars["what"]
	}
}

func lowerWhat(f *failure, _ *finding) { f.vars["what"] = strings.ToLower(f.vars["what"]) }

// manyArgs takes the quotation marks from a list of arguments.
func manyArgs(f *failure, _ *finding) {
	f.vars["arg"] = strings.NewReplacer("'", "", " and ", ", ").Replace(f.vars["args"])
}

// formOf gives the parts of a sentence that the message may leave out.
func formOf(f *failure, _ *finding) {
	coalesce(f, "id", "i2")
	coalesce(f, "what", "w2")
	slsName(f, nil)
	f.vars["of"] = " something"
	if f.vars["id"] != "" {
		f.vars["of"] = ` "` + f.vars["id"] + `"`
	}
}

func noEnv(f *failure, _ *finding) {
	for _, k := range []string{"sls", "s2"} {
		_, after, ok := strings.Cut(f.vars[k], ":")
		if ok {
			f.vars[k] = after
		}
	}
}

func slsName(f *failure, _ *finding) {
	coalesce(f, "sls", "s2", "s3")
	f.vars["sls"] = strings.Trim(f.vars["sls"], `'"`)
	f.vars["rec"] = ""
	if f.vars["sls"] != "" {
		f.vars["rec"] = ` "` + recipeName(f.vars["sls"]) + `"`
	}
}

// circle names the members of a ring.
func circle(f *failure, x *finding) {
	seen := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?:['"]ID['"]:|\bID) ['"]([^'"]+)['"]`).FindAllStringSubmatch(f.comment, -1) {
		seen[m[1]] = true
	}
	var ids []string
	for id := range seen {
		ids = append(ids, id)
	}
	sort.Strings(ids)
	f.vars["ids"] = strings.Join(ids, `", "`)
	limits := 100
	if len(ids) == 0 {
		x.sentence = `Steps of the recipe wait on each other in a circle.`
	} else if len(f.vars["ids"]) > limits {
		f.vars["ids"] = ids[0] + `", "` + ids[1]
	}
}

// rendering makes the reason of a recipe that could not be read short: what is
// wrong and in which line.
func rendering(f *failure, x *finding) {
	if f.vars["id"] == "" && x.code == "recipe_conflict" {
		x.sentence = `Two recipes use the same name.`
	}
	f.vars["reason"] = reasonOf(f.vars["reason"])
}

// reasonOf shortens what a renderer says.
func reasonOf(reason string) string {
	if strings.TrimSpace(reason) == "" {
		return "Berth was not told which"
	}
	if strings.Contains(reason, "Could not decrypt cipher") {
		return "it holds an encrypted value that the server can't decrypt"
	}
	at := ""
	if m := re(`\([\w./<>-]+, line (\d+)\)`).FindStringSubmatch(strings.SplitN(reason, "\n", 2)[0]); m != nil {
		at = " (line " + m[1] + ")"
	} else if m := regexp.MustCompile(`; line (\d+)`).FindStringSubmatch(reason); m != nil {
		at = " (line " + m[1] + ")"
	} else if all := regexp.MustCompile(`line (\d+), column (\d+)`).FindAllStringSubmatch(reason, -1); len(all) > 0 {
		at = " (line " + all[len(all)-1][1] + ")"
	}
	if m := re(`Jinja variable '[^']*(?:AliasedLoader|LazyLoader|loaded\.|FilteredLoader)[^']*' has no attribute '([^']+)'`).FindStringSubmatch(reason); m != nil {
		return fmt.Sprintf(`it calls "%s", which the server does not know`, m[1]) + at
	}
	if m := regexp.MustCompile(`Jinja variable (?:'[^']*' has no attribute '([^']+)'|'([^']+)' is undefined)`).FindStringSubmatch(reason); m != nil {
		return fmt.Sprintf(`"%s%s" has no value`, m[1], m[2]) + at
	}
	head := strings.TrimSpace(strings.SplitN(reason, "\n", 2)[0])
	if strings.Contains(reason, "TemplateNotFound") {
		return missingInclude(strings.TrimPrefix(head, "Jinja error: ")) + at
	}
	if strings.HasPrefix(head, "Traceback") {
		head = lastException(reason)
	}
	head = re(` \([\w./<>-]+, line \d+\)$`).ReplaceAllString(head, "")
	head = regexp.MustCompile(`; line \d+.*$`).ReplaceAllString(head, "")
	head = failedCall.ReplaceAllString(head, "$1: $2")
	head = strings.TrimPrefix(head, "Problem running salt function in Jinja template: ")
	head = strings.TrimPrefix(head, "Jinja variable ")
	head = regexp.MustCompile(`^Jinja (?:syntax |template )?error:? `).ReplaceAllString(head, "")
	head = regexp.MustCompile(`^Conflicting ID`).ReplaceAllString(head, "conflicting ID")
	head = strings.TrimPrefix(head, "Encountered error loading yaml: ")
	if strings.HasPrefix(head, "while ") { // YAML: what is wrong comes after where
		for _, l := range strings.Split(reason, "\n")[1:] {
			l = strings.TrimSpace(l)
			if l != "" && !strings.HasPrefix(l, "in ") && !strings.HasPrefix(l, "while ") {
				head = l
				break
			}
		}
	}
	if head == "found character that cannot start any token" { // the message does not say which
		head = "a value begins with a tab or a character such as %, @ or \x60 that needs quotation marks around it"
	}
	if strings.HasPrefix(head, "found unacceptable key ") {
		head = "it has a key that can't be one; braces may need quotation marks around them"
	}
	return shorten(oneLine(head), limits["reason"]-len(at)) + at
}

// missingInclude is the reason where an included file is not there.
func missingInclude(file string) string {
	return fmt.Sprintf(`it includes "%s", which is missing`, sourceName(file))
}

// settingsReason takes the reason from standard error: the result hides it.
func settingsReason(f *failure, _ *finding) {
	slsName(f, nil)
	f.vars["reason"] = ""
	text := f.stderr + "\n" + f.comment
	// Several files can be broken: only what is said of this one counts.
	if _, own, ok := strings.Cut(text, "Rendering SLS '"+f.vars["sls"]+"' failed, render error:\n"); ok {
		f.vars["reason"] = ": " + reasonOf(re(`\nTraceback|\n\[[A-Z]+\s*\]|\n---\n`).Split(own, 2)[0])
	} else if m := re(`(?s)SaltRenderError: (.+?)(?:\n\[|\n---\n|$)`).FindAllStringSubmatch(text, 2); len(m) == 1 {
		f.vars["reason"] = ": " + reasonOf(m[0][1])
	}
}
