package diagnose

import (
	"regexp"
	"strings"

	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

const (
	serviceStep = "service.running billing-api"
	seeJournal  = "\nSee \"systemctl status billing-api.service\" and \"journalctl -xeu billing-api.service\" for details."
	nextService = `Look at its output with "berth env logs NAME"; if it needs a setting, ask ops.`
)

// serviceRecords are services that are missing or do not stay up.
var serviceRecords = []record{
	{code: "recipe_error", who: ops, in: "service", re: lazyregexp.New(`uses non-existent option|is disabled but enable is not True|Unable to trigger watch|does not work with the`), refine: commentLine,
		sentence: `The recipe's step "{step}" for the service "{name}" is not right: {line}`, next: askOpsRecipe, subject: "{name}",
		samples: []sample{{step: serviceStep, says: `Service billing-api uses non-existent option "enabled". Perhaps "enable" option was intended?`, names: []string{"billing-api", "enabled"}}}},
	{code: "service_failed", who: ops, in: "service", re: lazyregexp.New(`not been booted with systemd|Failed to (?:connect to|get D-Bus connection)|in offline mode|systemctl: (?:command )?not found|No such file or directory: '?systemctl|Failed to create bus connection`), refine: service,
		sentence: `The service "{svc}" can't be managed: what runs the server's services (systemd) does not run there.`, next: askOps, subject: "systemd",
		samples: []sample{
			{step: serviceStep, says: "System has not been booted with systemd as init system (PID 1). Can't operate.\nFailed to connect to bus: Host is down", names: []string{"billing-api"}},
			{step: "service.masked billing-old", says: "Cannot run in offline mode. Failed to get information on unit 'billing-old'", names: []string{"billing-old"}},
		}},
	{code: "permission_denied", who: ops, in: "service", re: lazyregexp.New(`(?i)Interactive authentication required|authentication is required|access denied|permission denied|Operation not permitted`), refine: service,
		sentence: `The server has no permission to start or stop the service "{svc}".`, next: askOps, subject: "{svc}",
		samples: []sample{{step: serviceStep, says: "Failed to start billing-api.service: Interactive authentication required." + seeJournal, names: []string{"billing-api"}}}},
	{code: "service_failed", who: ops, in: "service", re: lazyregexp.New(`bad unit file setting|failed to load properly|has a bad |Exec format error|Bad message|Invalid argument|not a valid unit name|has no installation config|Assignment outside of section`), refine: service,
		sentence: `The service "{svc}" can't be started: the file that describes it (its unit) has an error.`, next: askOpsRecipe, subject: "{svc}",
		samples: []sample{
			{step: serviceStep, says: "Failed to start billing-api.service: Unit billing-api.service has a bad unit file setting." + seeJournal, names: []string{"billing-api"}},
			{step: serviceStep, says: "Failed to start billing-api.service: Unit billing-api.service failed to load properly, please adjust/correct and reload service manager: Invalid argument" + seeJournal, names: []string{"billing-api"}},
		}},
	{code: "service_failed", who: ops, in: "service", re: lazyregexp.New(`A dependency job for (?P<svc>\S+) failed`), refine: service,
		sentence: `The service "{svc}" was not started: another service or disk that it needs failed.`, next: askOps, subject: "{svc}",
		samples: []sample{{step: serviceStep, says: "A dependency job for billing-api.service failed. See 'journalctl -xe' for details.", names: []string{"billing-api"}}}},
	{code: "service_unknown", who: ops, in: "service", re: lazyregexp.New(`The named service (?P<svc>.+?) is not available|Unit (?P<s2>\S+?)(?:\.service)? (?:not found|could not be found|is masked|is not loaded)|Unit (?:file )?(?P<s3>\S+?)(?:\.service)? does not exist|[Ss]ervice (?P<s4>\S+) (?:is not present|not present|not found|is not available|does not exist)|Failed to \w+ unit: Unit(?: file)? (?P<s5>\S+?)(?:\.service)? |Failed to get information on unit '(?P<s6>[^'\n]+)'|(?P<s7>[^\s:]+): unrecognized service|Unable to find sysv service`), refine: service,
		sentence: `The service "{svc}" is not installed on the server{masked}.`, next: askOps, subject: "{svc}",
		samples: []sample{
			{step: serviceStep, says: "The named service billing-api is not available", names: []string{"billing-api"}},
			{step: serviceStep, says: "Failed to start billing-api.service: Unit billing-api.service is masked.", names: []string{"billing-api", "masked"}},
			{step: serviceStep, says: "Failed to start billing-api.service: Unit redis.service not found.", names: []string{"redis"}},
			{step: serviceStep, says: "Failed when setting service billing-api to start at boot, and the service is dead. Additional information follows:\n\nFailed to enable unit: Unit file /etc/systemd/system/billing-api.service is masked.", names: []string{"billing-api", "masked"}},
			{step: "service.enabled billing-timer", says: "Failed to enable unit: Unit file billing-timer.service does not exist.", names: []string{"billing-timer"}},
			{step: "service.masked billing-old", says: "Failed to get information on unit 'billing-old'", names: []string{"billing-old"}},
		}},
	{code: "service_unknown", who: ops, in: "service", when: unknownInLog, refine: service,
		sentence: `The service "{svc}" is not installed on the server{masked}.`, next: askOps, subject: "{svc}",
		samples: []sample{{step: "service.mod_watch billing-api", says: "Failed to start the service", stderr: "[ERROR   ] Command 'service' failed with return code: 1\n[ERROR   ] stdout: billing-api: unrecognized service\n[ERROR   ] retcode: 1\n[ERROR   ] {'billing-api': False}", names: []string{"billing-api", "not installed"}}}},
	{code: "service_failed", who: ops, in: "service", re: lazyregexp.New(`(?i)failed to (?:die|stop)|is still running|has been disabled, and is running|Failed to kill`), refine: service,
		sentence: `The service "{svc}" could not be stopped.`, next: askOps, subject: "{svc}",
		samples: []sample{{step: "service.dead billing-api", says: "Service billing-api failed to die", names: []string{"billing-api"}}}},
	{code: "service_failed", who: ops, in: "service", re: lazyregexp.New(`Failed when setting service|Failed to (?:un)?mask|masking not available|(?:Enable|Disable) is not available|Failed to (?:enable|disable) unit|Failed to (?:execute|get) .*unit file`), refine: serviceBoot,
		sentence: `The service "{svc}" could not be set to start, or not to start, with the server{because}.`, next: askOps, subject: "{svc}",
		samples: []sample{
			{step: serviceStep, says: "Failed when setting service billing-api to start at boot, but the service is running", names: []string{"billing-api"}},
			{step: serviceStep, says: "Failed when setting service billing-api to start at boot, but the service was already running. Additional information follows:\n\nFailed to enable unit: File /etc/systemd/system/multi-user.target.wants/billing-api.service already exists and is a symlink to /opt/x.", names: []string{"billing-api", "already"}},
			{step: "service.masked billing-old", says: "Failed to mask service 'billing-old'. Additional info follows:\n\nFailed to mask unit: File '/etc/systemd/system/billing-old.service' already exists.", names: []string{"billing-old", "already exists"}},
		}},
	{code: "service_failed", who: ops, in: "service", re: lazyregexp.New(`daemon-reload|transient scope|Transaction (?:contains|is)`), refine: commentLine,
		sentence: `The server's services could not be managed for the step "{step}": {line}`, next: askOps, subject: "{line}",
		samples: []sample{{step: serviceStep, says: "Failed to start transient scope unit: Unit run-1234.scope already exists.", names: []string{"run-1234.scope"}}}},
	{code: "service_failed", who: developer, in: "service", re: lazyregexp.New(`(?i)because a timeout was exceeded|timed out`), refine: service,
		sentence: `The service "{svc}" took too long to start.`, next: nextService, subject: "{svc}",
		samples: []sample{{step: serviceStep, says: "Job for billing-api.service failed because a timeout was exceeded." + seeJournal, names: []string{"billing-api", "too long"}}}},
	{code: "service_failed", who: developer, in: "service", re: lazyregexp.New(`Failed to (?P<what>restart|reload)|Job type (?P<w2>reload) is not applicable`), refine: func(f *failure, x *finding) {
		coalesce(f, "what", "w2")
		service(f, x)
	}, sentence: `The service "{svc}" could not be made to {what}.`, next: nextService, subject: "{svc}",
		samples: []sample{
			{step: "service.mod_watch billing-api", says: "Failed to restart the service", names: []string{"billing-api", "restart"}},
			{step: "service.mod_watch nginx", says: "Failed to reload the service", names: []string{"nginx", "reload"}, who: ops},
		}},
	{code: "service_failed", who: developer, in: "service", refine: service,
		sentence: `The service "{svc}" does not stay up: it stops as soon as it is started.`, next: nextService, subject: "{svc}",
		samples: []sample{
			{step: serviceStep, says: "Job for billing-api.service failed because the control process exited with error code." + seeJournal, names: []string{"billing-api"}},
			{step: serviceStep, says: "Service billing-api has been enabled, and is dead", names: []string{"billing-api"}},
			{step: serviceStep, says: "Service billing-api failed to start\nDelayed return for 5 seconds", names: []string{"billing-api"}},
			{step: "service.running nginx", says: "Job for nginx.service failed because the control process exited with error code.", names: []string{"nginx"}, who: ops},
		}},
}

// knownServices come with the system: an app's developer cannot mend them.
var knownServices = re(`^(?:nginx|apache2?|httpd|caddy|haproxy|traefik|postgres(?:ql)?|pgbouncer|mysqld?|mariadb|mongod?b?|redis|valkey|memcached|rabbitmq|kafka|zookeeper|elasticsearch|opensearch|minio|docker|containerd|podman|sshd?|crond?|ntpd?|chronyd?|rsyslogd?|postfix|exim4?|dovecot|php[\d.]*-fpm|supervisord?|systemd-\w+|ufw|firewalld|fail2ban|varnish|squid|bind9|named|unbound|dnsmasq|keepalived|consul|vault|nomad|telegraf|prometheus|grafana|node_exporter|salt-\w+|tomcat\d*|varnish\w*|logrotate|cups|snapd|NetworkManager|networking)(?:[@.-].*|-server|d)?$`)

// unknownInLog says whether the last that was logged of the service is that
// there is none. What acts on a change says only that it could not be started.
func unknownInLog(f *failure) bool {
	unit := `["'\x60]?` + quoteMeta(strings.TrimSuffix(f.vars["name"], ".service")) + `(?:\.service)?["']?`
	about := regexp.MustCompile(`\bstd(?:err|out): (?:[^\n]*[^\w.@-])?`+unit+`(?:[^\w.@-][^\n]*)?`).FindAllString(f.vars["stderr"], -1)
	return len(about) > 0 && regexp.MustCompile(unit+`(?:: unrecognized service| (?:not found|could not be found|does not exist))`).MatchString(about[len(about)-1])
}

func quoteMeta(s string) string { return regexp.QuoteMeta(s) }

func service(f *failure, x *finding) {
	svc := coalesce(f, "svc", "s2", "s3", "s4", "s5", "s6", "s7")
	if svc == "" || svc == "is" {
		svc = f.vars["name"]
	}
	f.vars["svc"] = strings.TrimSuffix(svc[strings.LastIndex(svc, "/")+1:], ".service")
	f.vars["masked"] = ""
	if strings.Contains(f.comment+f.output(), "is masked") {
		f.vars["masked"] = " or has been switched off there (masked)"
	}
	if x.code != "service_failed" || x.who != developer {
		return
	}
	if knownServices.MatchString(f.vars["svc"]) {
		x.who, x.next = ops, askOps
	}
	if l := telling(f.vars["applog"], ""); l != "" {
		f.vars["line"] = l
		x.sentence = strings.TrimSuffix(x.sentence, ".") + `. Its last words: {line}`
	}
}

// serviceBoot adds what the service manager said.
func serviceBoot(f *failure, x *finding) {
	service(f, x)
	f.vars["because"] = ""
	if _, more, ok := strings.Cut(f.comment, "follows:\n"); ok {
		l := re(`^Failed to \w+ unit: `).ReplaceAllString(telling(more, ""), "")
		f.vars["because"] = ": " + strings.TrimSuffix(l, ".")
	}
}
