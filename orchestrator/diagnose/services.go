package diagnose

import "strings"

// serviceRecords are services that are missing or do not stay up.
var serviceRecords = []record{
	{code: "service_unknown", who: ops, in: "service", re: later(`The named service (?P<svc>.+?) is not available|Unit (?P<s2>\S+?)(?:\.service)? (?:not found|could not be found|is masked|is not loaded)|Unit (?:file )?(?P<s3>\S+?)(?:\.service)? does not exist|[Ss]ervice (?P<s4>\S+) (?:is not present|not found|is not available|does not exist)|Failed to \w+ unit: Unit(?: file)? (?P<s5>\S+?)(?:\.service)? `), refine: service,
		sentence: `The service "{svc}" is not installed on the server{masked}.`, next: askOps, subject: "{svc}"},
	{code: "service_failed", who: ops, in: "service", re: later(`(?i)failed to (?:die|stop)|is still running|has been disabled, and is running`), refine: service,
		sentence: `The service "{svc}" could not be stopped.`, next: askOps, subject: "{svc}"},
	{code: "service_failed", who: developer, in: "service", refine: service,
		sentence: `The service "{svc}" does not stay up: it stops as soon as it is started.`, next: `Look at its output with "berth env logs NAME"; if it needs a setting, ask ops.`, subject: "{svc}"},
}

// knownServices come with the system: an app's developer cannot mend them.
var knownServices = re(`^(?:nginx|apache2?|httpd|caddy|haproxy|traefik|postgres(?:ql)?|pgbouncer|mysqld?|mariadb|mongod?b?|redis|valkey|memcached|rabbitmq|kafka|zookeeper|elasticsearch|opensearch|minio|docker|containerd|podman|sshd?|crond?|ntpd?|chronyd?|rsyslogd?|postfix|exim4?|dovecot|php[\d.]*-fpm|supervisord?|systemd-\w+|ufw|firewalld|fail2ban|varnish|squid|bind9|named|unbound|dnsmasq|keepalived|consul|vault|nomad|telegraf|prometheus|grafana|node_exporter|salt-\w+|tomcat\d*|varnish\w*|logrotate|cups|snapd|NetworkManager|networking)(?:[@.-].*|-server|d)?$`)

func service(f *failure, x *finding) {
	svc := coalesce(f, "svc", "s2", "s3", "s4", "s5")
	if svc == "" || svc == "is" {
		svc = f.vars["name"]
	}
	f.vars["svc"] = strings.TrimSuffix(svc, ".service")
	f.vars["masked"] = ""
	if strings.Contains(f.comment+f.output(), "is masked") {
		f.vars["masked"] = " or has been switched off there (masked)"
	}
	if x.code != "service_failed" {
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
