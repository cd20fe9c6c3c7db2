# Fetches Berth's agent from Berth and starts it. What differs between servers
# is in /etc/berth/agent.json, never in this script.
#
# Python, for cloud-init needs it too: a cloud image has nothing else for sure.
# Run by cloud-init once and, until the agent is there, by its unit at each
# start, so that no restart of the machine strands it.
import hashlib, json, os, platform, ssl, subprocess, sys, tempfile, time
import urllib.error, urllib.request

BOOT, PROGRAM, UNIT = "/etc/berth/agent.json", "/usr/local/bin/berth", "/etc/systemd/system/berth-agent.service"
LIMIT = 15 * 60  # seconds
TEXT = """[Unit]
Description=Berth's agent
After=network-online.target
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
Environment=PATH=/opt/berth/salt/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
ExecStartPre=%s %s fetch
ExecStart=%s agent run --dir /var/lib/berth --boot %s --systemd
TimeoutStartSec=infinity
Restart=on-failure
RestartSec=15
KillMode=mixed
TimeoutStopSec=30

[Install]
WantedBy=multi-user.target
""" % (sys.executable, os.path.abspath(__file__), PROGRAM, BOOT)


def end(text):
    print("berth: " + text, file=sys.stderr, flush=True)
    sys.exit(1)


class Redirected(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None  # nobody but the pinned Berth


def opener(boot):
    # Only the pinned authority is believed; without one, the machine's own.
    context = ssl.create_default_context(cadata=boot.get("ca") or None)
    return urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), Redirected)


def current(want):
    try:
        with open(PROGRAM, "rb") as f:
            have = hashlib.sha256()
            for part in iter(lambda: f.read(1 << 20), b""):
                have.update(part)
    except OSError:
        return False
    return have.hexdigest() == want


def fetch(berth, url):
    # The checksum comes from the same Berth: it finds a broken download. Who
    # sent it is proved by TLS. It is not in user-data, which stays as it was
    # made while Berth is upgraded.
    with berth.open(url + ".sha256", timeout=60) as r:
        want = r.read(1000).decode("ascii", "replace").split()[0]
    if current(want):
        return
    # Beside its place, so that it is whole when it appears there, and has the
    # label that SELinux gives to programs.
    os.makedirs(os.path.dirname(PROGRAM), exist_ok=True)
    fd, temp = tempfile.mkstemp(dir=os.path.dirname(PROGRAM), prefix=".berth-")
    try:
        have = hashlib.sha256()
        with os.fdopen(fd, "wb") as f, berth.open(url, timeout=60) as r:
            for part in iter(lambda: r.read(1 << 20), b""):
                have.update(part)
                f.write(part)
            f.flush()
            os.fsync(f.fileno())
        if have.hexdigest() != want:
            raise ValueError("the agent's checksum did not match: got %s, want %s" % (have.hexdigest(), want))
        os.chmod(temp, 0o755)
        os.rename(temp, PROGRAM)
    finally:
        if os.path.exists(temp):
            os.remove(temp)


def reason(e, arch):
    if isinstance(e, urllib.error.HTTPError):
        if e.code == 404:
            return "Berth has no agent for linux-%s" % arch
        return "the other side answered %d" % e.code
    why = getattr(e, "reason", None) or e
    return str(why) or type(why).__name__


def fetched(boot):
    url = boot["url"]
    if not url.startswith("https://"):
        end("refusing to fetch the agent from %s: not https" % url)
    arch = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine())
    if not arch:
        end("no agent for %s" % platform.machine())
    address = "%s/agent/v1/binary/linux-%s" % (url.rstrip("/"), arch)
    over, wait = time.monotonic() + LIMIT, 1
    while True:
        try:
            return fetch(opener(boot), address)
        except Exception as e:  # whatever it is, it may pass
            why = reason(e, arch)
        if time.monotonic() + wait > over:
            end("giving up after %d minutes: cannot fetch the agent from %s: %s" % (LIMIT // 60, url, why))
        print("berth: trying again in %d s: cannot fetch the agent from %s: %s" % (wait, url, why), flush=True)
        time.sleep(wait)
        wait = min(2 * wait, 30)


def run(*command):
    if subprocess.call(command) != 0:
        end("failed: " + " ".join(command))


def main():
    with open(BOOT) as f:
        boot = json.load(f)
    if sys.argv[1:] == ["fetch"]:
        if not os.path.exists(PROGRAM):
            fetched(boot)
        return
    # The unit first: after a restart in the middle it goes on from here.
    with open(UNIT, "w") as f:
        f.write(TEXT)
    os.chmod(UNIT, 0o644)
    run("systemctl", "daemon-reload")
    run("systemctl", "enable", "berth-agent.service")
    try:
        fetched(boot)
    except SystemExit:
        # It goes on trying, more slowly, as long as the machine lives.
        subprocess.call(["systemctl", "start", "--no-block", "berth-agent.service"])
        raise
    run("systemctl", "restart", "berth-agent.service")
    print("berth: the agent is installed and runs", flush=True)


main()
