# One server by hand: the same recipe applied by salt-call, the app started, its
# health path asked until it answers. $1 is the server's folder.
set -eu
mkdir -p "$1/etc" "$1/pillar" "$1/root"
cd "$1"
dir=$PWD
if [ "$NAME" = api ]; then echo GREETING=bench >env; else echo "API_URL=http://127.0.0.1:$API_PORT" >env; fi
revision=$(git ls-remote "$REPO" refs/heads/main | cut -f1)
cat >etc/minion <<END
{"id": "$NAME", "file_client": "local", "root_dir": "$dir/salt", "pki_dir": "pki", "cachedir": "cache",
 "sock_dir": "run", "pidfile": "minion.pid", "log_file": "minion.log", "user": "$(id -un)",
 "file_roots": {"base": ["$STATES"]}, "pillar_roots": {"base": ["$dir/pillar"]},
 "enable_fqdns_grains": false, "enable_gpu_grains": false}
END
echo "base: {'*': [berth]}" >pillar/top.sls
cat >pillar/berth.sls <<END
#!json
{"berth": {"server": "bare/$NAME", "environment": "bare", "target": "local", "systemd": false, "root": "$dir/root",
 "env": "set", "env_file": "$dir/env", "settings": {}, "needs": {},
 "app": {"name": "$NAME", "repository": "$REPO", "branch": "main", "revision": "$revision", "checkout": "$dir/root/app",
  "port": $PORT, "health": "/healthz", "build": "make build", "start": "python3 app.py"}}}
END
"$SALT_CALL" --local -c etc state.apply app --retcode-passthrough --out=json >result.json 2>salt.log || {
	cat result.json salt.log
	exit 1
}
cd root/app
set -a
. ./.env
set +a
setsid python3 app.py >../../app.log 2>&1 </dev/null &
echo $! >../../pid
for _ in $(seq 600); do
	if curl -fsS --noproxy '*' "http://127.0.0.1:$PORT/healthz" >/dev/null 2>&1; then exit 0; fi
	sleep 0.1
done
cat ../../app.log
exit 1
