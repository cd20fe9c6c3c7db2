package catalog

import (
	"slices"
	"strings"

	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

// use is something noteworthy in a recipe.
type use struct {
	line int
	text string
}

type inspection struct {
	program  bool
	system   []use    // system modules outside of a guard
	unquoted []use    // expressions with pillar values and without |json
	calls    []use    // functions that change the machine while it is rendered
	includes []string // other recipes
}

// systemModules change the machine rather than files below berth.root.
var systemModules = []string{
	"alternatives", "apache", "apparmor", "aptpkg", "at", "blockdev", "chocolatey", "cron", "debconf", "firewalld", "group", "group_present", "grub",
	"host", "hosts", "iptables", "ipset", "kernelpkg", "keyboard", "kmod", "locale", "lvm", "mount", "network", "nftables", "ntp", "pkg", "pkgbuild", "pkgrepo",
	"quota", "raid", "reg", "selinux", "service", "shadow", "snap", "ssh_auth", "sudo", "sysctl", "sysfs", "sysrc", "system", "timezone", "ufw", "user", "zfs",
}

func isSystem(module string) bool {
	return slices.Contains(systemModules, module) || strings.HasPrefix(module, "win_")
}

// changes reports whether an execution function of a system module does more
// than to read.
func changes(module, function string) bool {
	return isSystem(module) && !readingPattern.MatchString(function)
}

var (
	statementPattern  = lazyregexp.New(`\{%[-+]?\s*(\w+)((?:[^%]|%[^}])*?)[-+]?%\}`)
	expressionPattern = lazyregexp.New(`(?s)\{\{[-+]?(.*?)[-+]?\}\}`)
	commentPattern    = lazyregexp.New(`(?s)\{#.*?#\}`)
	rawPattern        = lazyregexp.New(`(?s)\{%[-+]?\s*raw\s*[-+]?%\}.*?\{%[-+]?\s*endraw\s*[-+]?%\}`)
	functionPattern   = lazyregexp.New(`^\s*-?\s*["']?([a-z][a-z0-9_]*)(\.[a-z_]+)?["']?(?:\s*(?:#.*)?|\s*:(?:\s.*)?)$`)
	includePattern    = lazyregexp.New(`(?m)^include:\s*\n((?:[ \t]*(?:-.*|#.*)?\n)+)`)
	callPattern       = lazyregexp.New(`\bsalt(?:\[\s*["']([a-z_0-9]+)\.([a-z_0-9]+)["']\s*\]|\.get\(\s*["']([a-z_0-9]+)\.([a-z_0-9]+)["']|\.([a-z_0-9]+)\.([a-z_0-9]+)\b)`)
	readingPattern    = lazyregexp.New(`^_?(get|list|ls|is|has|info|version|status|available|upgrade_available|enabled|disabled|exists|missing|present|interfaces?|ip|ip6|ipaddrs|hw|hwaddr|show|search|latest|check|default|active|fstab|read|lookup|ping|dig|netstat|arp|subnets?6?|in_subnet|calc|convert|reverse|fqdns|file_dict|file_list|owner|depends|cpuinfo|default_route|routes|raw_|primary|execs|zone_compare|verify|parse|hosts|repo_|grains|name_|id_|uid|gid)`)
	setPattern        = lazyregexp.New(`^\s*([A-Za-z_][\w, ]*?)\s*=([^=].*)$`)
	forPattern        = lazyregexp.New(`^\s*(.+?)\s+in\s+(.+)$`)
	setBlockPattern   = lazyregexp.New(`(?s)\{%[-+]?\s*set\s+(\w+)\s*[-+]?%\}.*?\{%[-+]?\s*endset\s*[-+]?%\}`)
	wordPattern       = lazyregexp.New(`[A-Za-z_]\w*`)
	stringPattern     = lazyregexp.New(`"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'`)
	jsonPattern       = lazyregexp.New(`\|\s*(json|tojson)\b(\s*\([^)]*\))?\s*$`)
	notLocalPattern   = lazyregexp.New(`target['"]?\s*\]?\s*!=`)
	negatedPattern    = lazyregexp.New(`\bnot\b`)
	orPattern         = lazyregexp.New(`\bor\b`)
	andPattern        = lazyregexp.New(`\band\b`)
	choicePattern     = lazyregexp.New(`\bif\b.*?\belse\b`)
	groupPattern      = lazyregexp.New(`\([^()]*\)|\[[^\[\]]*\]`)
	operatorPattern   = lazyregexp.New(`[~+]|\b(if|else|or|and)\b`)
)

// inspectRecipe reads an SLS as text, without running it: Jinja and YAML
// together can only be compiled with data. It is a help against mistakes, not
// a sandbox: recipes are ops' own code.
func inspectRecipe(text string) inspection {
	var out inspection
	if first, _, _ := strings.Cut(text, "\n"); strings.HasPrefix(first, "#!") {
		renderers := strings.FieldsFunc(strings.TrimPrefix(first, "#!"), func(r rune) bool { return r == '|' || r == ' ' || r == '\r' })
		for _, r := range renderers {
			if !slices.Contains([]string{"jinja", "yaml", "yamlex", "json"}, r) {
				out.program = true
				return out
			}
		}
	}
	text = blank(commentPattern, text)
	for _, m := range includePattern.FindAllStringSubmatch(text+"\n", -1) {
		for line := range strings.Lines(m[1]) {
			line, _, _ = strings.Cut(line, "#")
			if name := strings.Trim(strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "-")), `"'`); name != "" {
				out.includes = append(out.includes, name)
			}
		}
	}
	guarded := guards(text)
	inclusion := includeLines(text)
	start := 0
	for n, line := range strings.SplitAfter(text, "\n") {
		for _, m := range callPattern.FindAllStringSubmatch(line, -1) {
			if module, function := m[1]+m[3]+m[5], m[2]+m[4]+m[6]; changes(module, function) {
				call := use{n + 1, "salt['" + module + "." + function + "']"}
				out.calls = append(out.calls, call)
				if !guarded(start) {
					out.system = append(out.system, call)
				}
			}
		}
		if !inclusion[n] && !strings.HasPrefix(strings.TrimSpace(line), "#") && !guarded(start) {
			if m := functionPattern.FindStringSubmatch(strings.TrimRight(line, "\r\n")); m != nil && isState(m, line) {
				out.system = append(out.system, use{n + 1, m[1] + m[2]})
			}
		}
		start += len(line)
	}
	out.unquoted = unquotedIn(text)
	return out
}

// isState tells pkg.installed: and a short declaration pkg: below an ID from a
// key that only has the same name.
func isState(m []string, line string) bool {
	if !isSystem(m[1]) {
		return false
	}
	indented := len(line) > 0 && (line[0] == ' ' || line[0] == '\t')
	if m[2] != "" {
		// An entry of a list is a requisite's or an argument's, not a state.
		return indented && !strings.HasPrefix(strings.TrimSpace(line), "- ")
	}
	return indented && !strings.HasPrefix(strings.TrimSpace(line), "-") && strings.Contains(line, ":") && len(line)-len(strings.TrimLeft(line, " \t")) <= 2
}

func includeLines(text string) map[int]bool {
	out := map[int]bool{}
	for _, m := range includePattern.FindAllStringIndex(text+"\n", -1) {
		first := strings.Count(text[:min(m[0], len(text))], "\n")
		for i := range strings.Count((text + "\n")[m[0]:m[1]], "\n") {
			out[first+i] = true
		}
	}
	return out
}

// blank replaces what matches with spaces, so that places stay true.
func blank(p *lazyregexp.Regexp, text string) string {
	return p.ReplaceAllStringFunc(text, func(s string) string {
		return strings.Map(func(r rune) rune {
			if r == '\n' {
				return r
			}
			return ' '
		}, s)
	})
}

// guards tells which places are inside of an {% if %} that is never true on
// the local target: one that asks for systemd, or for another target.
func guards(text string) func(offset int) bool {
	// elseSafe: the condition fails only where the guard holds.
	type level struct{ safe, elseSafe bool }
	type span struct{ from, to int }
	var stack []level
	var spans []span
	last := 0
	top := func(set func(*level)) {
		if n := len(stack); n > 0 {
			set(&stack[n-1])
		}
	}
	for _, m := range statementPattern.FindAllStringSubmatchIndex(text, -1) {
		word, condition := text[m[2]:m[3]], text[m[4]:m[5]]
		if slices.ContainsFunc(stack, func(l level) bool { return l.safe }) {
			spans = append(spans, span{last, m[0]})
		}
		last = m[1]
		switch word {
		case "if":
			stack = append(stack, level{neverLocal(condition), alwaysLocal(condition)})
		case "elif":
			top(func(l *level) {
				l.safe, l.elseSafe = l.elseSafe || neverLocal(condition), l.elseSafe || alwaysLocal(condition)
			})
		case "else":
			top(func(l *level) { l.safe = l.elseSafe })
		case "endif":
			stack = stack[:max(len(stack)-1, 0)]
		}
	}
	return func(offset int) bool {
		return slices.ContainsFunc(spans, func(s span) bool { return offset >= s.from && offset < s.to })
	}
}

// neverLocal: the condition cannot hold on the local target.
func neverLocal(condition string) bool {
	if orPattern.MatchString(condition) {
		return false
	}
	return strings.Contains(condition, "systemd") && !negatedPattern.MatchString(condition) && !strings.Contains(condition, "==") ||
		notLocalPattern.MatchString(condition)
}

// alwaysLocal: where the condition fails, this is not the local target.
func alwaysLocal(condition string) bool {
	return !andPattern.MatchString(condition) && strings.Contains(condition, "systemd") && strings.HasPrefix(strings.TrimSpace(condition), "not ")
}

// unquotedIn is unquoted for a whole file.
func unquotedIn(text string) []use {
	return unquoted(blank(rawPattern, blank(commentPattern, text)))
}

// unquoted finds {{ … }} with a value from pillar that does not end in |json.
func unquoted(text string) []use {
	tainted := map[string]bool{"pillar": true}
	fromPillar := func(expression string) bool {
		// What chooses between two values is not itself a value.
		expression = choicePattern.ReplaceAllString(expression, ",")
		for _, word := range wordPattern.FindAllString(stringPattern.ReplaceAllString(expression, `""`), -1) {
			if tainted[word] {
				return true
			}
		}
		return strings.Contains(expression, "pillar.get") || strings.Contains(expression, "pillar.item")
	}
	// A name may be used above where the text sets it (in a loop): twice.
	for range 2 {
		for _, m := range statementPattern.FindAllStringSubmatch(text, -1) {
			var names, value string
			switch m[1] {
			case "set":
				if s := setPattern.FindStringSubmatch(m[2]); s != nil {
					names, value = s[1], s[2]
				}
			case "for":
				if s := forPattern.FindStringSubmatch(m[2]); s != nil {
					names, value = s[1], s[2]
				}
			}
			if value != "" && fromPillar(value) && !asJSON(value) {
				for _, name := range wordPattern.FindAllString(names, -1) {
					tainted[name] = true
				}
			}
		}
	}
	// What a {% set x %} … {% endset %} gathers is a value, not yet the recipe.
	for _, m := range setBlockPattern.FindAllStringSubmatch(text, -1) {
		for _, inner := range expressionPattern.FindAllStringSubmatch(m[0], -1) {
			if fromPillar(inner[1]) {
				tainted[m[1]] = true
			}
		}
	}
	text = blank(setBlockPattern, text)
	var out []use
	for _, m := range expressionPattern.FindAllStringSubmatchIndex(text, -1) {
		expression := strings.TrimSpace(text[m[2]:m[3]])
		if fromPillar(expression) && !asJSON(expression) {
			out = append(out, use{1 + strings.Count(text[:m[0]], "\n"), strings.Join(strings.Fields(expression), " ")})
		}
	}
	return out
}

// asJSON reports whether the whole expression goes through |json: a filter
// binds more tightly than an operator, so a ~ b|json leaves a as it is.
func asJSON(expression string) bool {
	expression = strings.TrimSpace(stringPattern.ReplaceAllString(expression, `""`))
	if !jsonPattern.MatchString(expression) {
		return false
	}
	for {
		inner := groupPattern.ReplaceAllString(expression, "")
		if inner == expression {
			return !operatorPattern.MatchString(expression)
		}
		expression = inner
	}
}
