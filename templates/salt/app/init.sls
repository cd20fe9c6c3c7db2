# The starter recipe: one app from git, with ops' .env, built and started.
#
# Every value comes from pillar and goes through |json, so that no branch name,
# address or command can become a part of this document. Nothing is written
# outside berth.root, but the recipe's own notes beside it and the unit file where
# systemd is in charge. What is in berth.root is the app's, which may lay a link
# there at any moment, while Salt is root: below it everything is done as the
# app's user, and nothing that was noted there is believed.
{%- set berth = pillar['berth'] %}
{%- set app = berth.app %}
{%- set checkout = app.checkout %}
{%- set notes = salt['file.dirname'](berth.root) ~ '/starter' %}
{%- set cloned = notes ~ '/cloned' %}
{%- set built = notes ~ '/built' %}
{%- set settled = notes ~ '/settled' %}
{%- set wanted = app.revision ~ ' ' ~ app.build %}
{%- set user = 'berth-app' if berth.systemd else none %}
{%- set there = salt['file.directory_exists'](checkout ~ '/.git') %}
{#- Earlier recipes noted in the checkout itself how far they came, and a server
    may go back to one. That something is there is all that is taken from it. #}
{%- set earlier = checkout ~ '/.git/berth-' %}
{%- set whole = there and (salt['file.file_exists'](cloned) or salt['file.file_exists'](earlier ~ 'code')) %}
{%- set had_env = salt['file.file_exists'](settled) or salt['file.file_exists'](earlier ~ 'env') %}
{%- set built_earlier = salt['file.file_exists'](earlier ~ 'built') %}
{#- The build runs when the commit or the command changed, or the last one did
    not come to its end. #}
{%- set build = not (whole and not built_earlier and salt['file.file_exists'](built) and salt['file.read'](built).strip() == wanted.strip()) %}
{#- The first line of a command by which the agent knows that it is Berth's. #}
{%- set own = "# Berth's own step\n" %}
{%- macro as_app() %}
{%- if user %}
    - runas: {{ user }}
{%- endif %}
{%- endmacro %}

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

berth-app-notes:
  file.directory:
    - name: {{ notes|json }}
    - mode: '0711'
    - require:
      - file: berth-app-root

{%- if not berth.env and had_env %}
# Ops took the settings away: what Berth wrote goes, what git tracks returns.
{%- if there %}
berth-app-env-gone:
  cmd.run:
    - name: {{ (own ~ 'rm -rf -- .env .git/berth-env')|json }}
    - cwd: {{ checkout|json }}
{{- as_app() }}
    - require:
      - file: berth-app-root
    - require_in:
      - file: berth-app-env-forgotten
{%- endif %}

berth-app-env-forgotten:
  file.absent:
    - names:
      - {{ (notes ~ '/env')|json }}
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

{%- if built_earlier %}
berth-app-unbuilt-earlier:
  cmd.run:
    - name: {{ (own ~ 'rm -f .git/berth-built')|json }}
    - cwd: {{ checkout|json }}
{{- as_app() }}
    - require:
      - file: berth-app-root
    - require_in:
      - git: berth-app-code
{%- endif %}

{%- if not there and salt['file.file_exists'](cloned) %}
berth-app-lost:
  file.absent:
    - name: {{ cloned|json }}
    - require_in:
      - git: berth-app-code
{%- endif %}

{%- if there and not whole %}
# A clone that never came to a commit: git.latest trips over what it left.
berth-app-unfinished:
  cmd.run:
    - name: {{ (own ~ 'rm -rf -- "$CHECKOUT"')|json }}
    - cwd: {{ berth.root|json }}
    - env:
      - CHECKOUT: {{ checkout|json }}
{{- as_app() }}
    - require:
      - file: berth-app-root
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
    - require:
      - file: berth-app-notes
      - git: berth-app-code

{%- if berth.env %}
# From a file, not from pillar's text: Salt would change line ends there.
{%- if user %}
berth-app-settings:
  file.managed:
    - name: {{ (notes ~ '/env')|json }}
    - source: {{ berth.env_file|json }}
    - mode: '0400'
    - user: {{ user }}
    - show_changes: False
    - require:
      - file: berth-app-notes
      - user: berth-app-user

berth-app-env:
  cmd.run:
    - name: {{ (own ~ 'umask 077
if [ -d .env ] && [ ! -L .env ]; then echo ".env is a folder, and ops have settings for that name." >&2; exit 1; fi
rm -f .git/berth-new && cat <"$SETTINGS" >.git/berth-new && { [ ! -L .env ] || rm -f .env; } && mv -f .git/berth-new .env')|json }}
    - unless: '[ -f .env ] && [ ! -L .env ] && [ "$(stat -c %a .env)" = 600 ] && cmp -s "$SETTINGS" .env'
    - cwd: {{ checkout|json }}
    - env:
      - SETTINGS: {{ (notes ~ '/env')|json }}
{{- as_app() }}
    - require:
      - git: berth-app-code
      - file: berth-app-settings
{%- else %}
berth-app-env:
  file.managed:
    - name: {{ (checkout ~ '/.env')|json }}
    - source: {{ berth.env_file|json }}
    - mode: '0600'
    - follow_symlinks: False
    - show_changes: False
    - require:
      - git: berth-app-code
{%- endif %}

berth-app-env-noted:
  file.managed:
    - name: {{ settled|json }}
    - contents: Written by Berth
    - require:
      - file: berth-app-notes
      - {{ 'cmd' if user else 'file' }}: berth-app-env
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
{{- as_app() }}
    - require:
      - git: berth-app-code
{%- if berth.env %}
      - {{ 'cmd' if user else 'file' }}: berth-app-env
{%- endif %}

berth-app-built:
  file.managed:
    - name: {{ built|json }}
    - contents: {{ wanted|json }}
    - show_changes: False
    - require:
      - file: berth-app-notes
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
ExecStart={{ notes }}/start
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
    - name: {{ (notes ~ '/start')|json }}
    - mode: '0755'
    - contents: {{ ('#!/bin/sh\nexec ' ~ quoted|join(' '))|json }}
    - show_changes: False
    - require:
      - file: berth-app-notes

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
      - cmd: berth-app-env
{%- endif %}
{%- if build %}
      - cmd: berth-app-build
{%- endif %}
{%- endif %}
