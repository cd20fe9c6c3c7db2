# The starter recipe: one app from git, with ops' .env, built and started.
#
# Every value comes from pillar and goes through |json, so that no branch name,
# address or command can become a part of this document. Nothing is written
# outside berth.root, but the unit file where systemd is in charge. What is in
# there is the app's, and Salt may be root: a link that the app has laid is
# replaced, and nobody is shown what was behind it.
{%- set berth = pillar['berth'] %}
{%- set app = berth.app %}
{%- set checkout = app.checkout %}
{%- set cloned = checkout ~ '/.git/berth-code' %}
{%- set built = checkout ~ '/.git/berth-built' %}
{%- set settled = checkout ~ '/.git/berth-env' %}
{%- set wanted = app.revision ~ ' ' ~ app.build %}
{%- set user = 'berth-app' if berth.systemd else none %}
{#- The build runs when the commit or the command changed, or the last one did
    not come to its end. #}
{%- set build = not (salt['file.file_exists'](built) and salt['file.read'](built).strip() == wanted.strip()) %}

{%- if berth.systemd %}
berth-app-user:
  user.present:
    - name: {{ user }}
    - system: True
    - home: {{ berth.root|json }}
    - createhome: False
    - shell: /bin/sh
    - require_in:
      - file: berth-app-root
{%- endif %}

berth-app-root:
  file.directory:
    - name: {{ berth.root|json }}
    - mode: '0755'
{%- if user %}
    - user: {{ user }}
{%- endif %}
    - makedirs: True

{%- if not berth.env and salt['file.file_exists'](settled) %}
# Ops took the settings away: what Berth wrote goes, what git tracks returns.
berth-app-env-gone:
  file.absent:
    - names:
      - {{ (checkout ~ '/.env')|json }}
      - {{ settled|json }}
    - require_in:
      - git: berth-app-code
{%- endif %}

{%- if build and salt['file.file_exists'](built) %}
berth-app-unbuilt:
  file.absent:
    - name: {{ built|json }}
    - require_in:
      - git: berth-app-code
{%- endif %}

{%- if salt['file.directory_exists'](checkout ~ '/.git') and not salt['file.file_exists'](cloned) %}
# A clone that never came to a commit: git.latest trips over what it left.
berth-app-unfinished:
  file.absent:
    - name: {{ checkout|json }}
    - require_in:
      - git: berth-app-code
{%- endif %}

# A commit, never a moving name; no depth, so that one which is no branch's tip
# any more is found too.
berth-app-code:
  git.latest:
    - name: {{ app.repository|json }}
    - rev: {{ app.revision|json }}
    - branch: berth-revision
    - target: {{ checkout|json }}
    - force_checkout: True
    - force_reset: True
    - force_fetch: True
    - submodules: True
{%- if user %}
    - user: {{ user }}
{%- endif %}
    - require:
      - file: berth-app-root

berth-app-cloned:
  file.managed:
    - name: {{ cloned|json }}
    - contents: Checked out by Berth
    - follow_symlinks: False
    - show_changes: False
    - require:
      - git: berth-app-code

{%- if berth.env %}
# From a file, not from pillar's text: Salt would change line ends there.
berth-app-env:
  file.managed:
    - name: {{ (checkout ~ '/.env')|json }}
    - source: {{ berth.env_file|json }}
    - mode: '0600'
{%- if user %}
    - user: {{ user }}
{%- endif %}
    - follow_symlinks: False
    - show_changes: False
    - require:
      - git: berth-app-code

berth-app-env-noted:
  file.managed:
    - name: {{ settled|json }}
    - contents: Written by Berth
    - follow_symlinks: False
    - show_changes: False
    - require:
      - file: berth-app-env
{%- endif %}

{%- if build %}
berth-app-build:
  cmd.run:
{%- if app.build %}
    - name: {{ app.build|json }}
{%- else %}
    - name: make build
    - onlyif: grep -qs '^build[[:space:]]*:' GNUmakefile makefile Makefile
{%- endif %}
    - cwd: {{ checkout|json }}
{%- if user %}
    - runas: {{ user }}
{%- endif %}
    - require:
      - git: berth-app-code
{%- if berth.env %}
      - file: berth-app-env
{%- endif %}

berth-app-built:
  file.managed:
    - name: {{ built|json }}
    - contents: {{ wanted|json }}
    - follow_symlinks: False
    - show_changes: False
    - require:
      - cmd: berth-app-build
{%- endif %}

{%- if berth.systemd %}
{%- set unit %}[Unit]
Description=The app that Berth runs on this server
After=network-online.target
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
User=berth-app
WorkingDirectory={{ checkout }}
ExecStart={{ berth.root }}/start
Restart=always
RestartSec=2
KillMode=control-group
TimeoutStopSec=10

[Install]
WantedBy=multi-user.target
{% endset %}
{#- Not systemd's EnvironmentFile: .env means the same here as on the local
    target, and what stands in it does not depend on who starts the app. #}
{%- set words = [berth.program, 'agent', 'exec'] %}
{%- if berth.env %}{% do words.extend(['--env-file', checkout ~ '/.env']) %}{% endif %}
{%- for name, value in berth.needs|default({}, true)|dictsort %}{% do words.extend(['--set', name ~ '=' ~ value]) %}{% endfor %}
{%- if app.port %}{% do words.extend(['--port', app.port|string]) %}{% endif %}
{%- do words.extend(['--', '/bin/sh', '-c', app.start or "if grep -qs '^run[[:space:]]*:' GNUmakefile makefile Makefile; then exec make run; fi\nexec make start"]) %}
{%- set quoted = [] %}
{%- for word in words %}{% do quoted.append("'" ~ word|replace("'", "'\\''") ~ "'") %}{% endfor %}

berth-app-start:
  file.managed:
    - name: {{ (berth.root ~ '/start')|json }}
    - mode: '0755'
    - contents: {{ ('#!/bin/sh\nexec ' ~ quoted|join(' '))|json }}
    - follow_symlinks: False
    - show_changes: False
    - require:
      - file: berth-app-root

berth-app-unit:
  file.managed:
    - name: /etc/systemd/system/berth-app.service
    - contents: {{ unit|json }}
    - mode: '0644'
    - require:
      - user: berth-app-user

berth-app-reload:
  cmd.run:
    - name: systemctl daemon-reload
    - onchanges:
      - file: berth-app-unit

berth-app-running:
  service.running:
    - name: berth-app
    - enable: True
    - require:
      - cmd: berth-app-reload
    - watch:
      - git: berth-app-code
      - file: berth-app-start
      - file: berth-app-unit
{%- if berth.env %}
      - file: berth-app-env
{%- endif %}
{%- if build %}
      - cmd: berth-app-build
{%- endif %}
{%- endif %}
