package agent

import "time"

// repositories are what a shell makes packages and repositories with, in /srv.
const repositories = `
only() { # PROGRAM: the system has no other package manager
	for p in apt-get dnf zypper apk; do [ $p = $1 ] || rm -f /usr/bin/$p; done
	rm -rf /etc/apt/sources.list* /var/lib/apt/lists/*
	mkdir -p /srv/mirror/debian/pool /srv/mirror/rpm
	echo 'deb [trusted=yes] http://deb.acme.io/debian ./' >/etc/apt/sources.list
}
has() { # NAME…: programs that the image has
	for p in "$@"; do printf '#!/bin/sh\n' >/usr/bin/$p; chmod +x /usr/bin/$p; done
}
script() { # FILE LINE…
	f=$1; shift
	mkdir -p $(dirname $f)
	printf '%s\n' '#!/bin/sh' "$@" >$f
	chmod 755 $f
}
deb() { # NAME VERSION [FIELD…]: a Debian package of what lies in tree
	n=$1 v=$2; shift 2
	mkdir -p tree/DEBIAN
	printf '%s\n' "Package: $n" "Version: $v" 'Architecture: all' 'Maintainer: nobody <nobody@example.com>' "$@" 'Description: stands for the real one' >tree/DEBIAN/control
	chmod 755 tree
	dpkg-deb --root-owner-group -Zgzip -b tree mirror/debian/pool/${n}_$(echo $v | tr : -)_all.deb >/dev/null
	rm -rf tree
}
git() { script tree/usr/bin/git; deb git 1:2.39.5-0+deb12u2 "$@"; }
salt() { # VERSION OF-SALT [FIELD…]
	v=$1 of=$2; shift 2
	script tree/usr/bin/salt-call "echo 'salt-call $of (Argon)'"
	deb salt-common $v "$@"
	mkdir -p tree/lib/systemd/system
	printf '[Service]\nExecStart=/bin/false\n[Install]\nWantedBy=multi-user.target\n' >tree/lib/systemd/system/salt-minion.service
	deb salt-minion $v "Depends: salt-common (= $v)"
}
lists() { # [LINE…]: of the Release file
	(
		cd mirror/debian
		for f in pool/*.deb; do
			[ -e $f ] || continue
			dpkg-deb -f $f
			printf 'Filename: %s\nSize: %s\nSHA256: %s\n\n' $f $(stat -c %s $f) $(sha256sum <$f | cut -d' ' -f1)
		done >Packages
		printf '%s\n' 'Origin: acme' 'Suite: stable' "Date: ${date:-$(date -Ru)}" "$@" 'SHA256:' " $(sha256sum <Packages | cut -d' ' -f1) $(stat -c %s Packages) Packages" >Release
	)
}
sign() { # KEY
	export GNUPGHOME=/root/keys
	mkdir -p -m 700 $GNUPGHOME
	gpg -q --batch --passphrase '' --quick-generate-key $1 rsa2048 sign never 2>/dev/null
	gpg -q --batch --yes -u $1 --clearsign -o mirror/debian/InRelease mirror/debian/Release
	gpg -q --batch --armor --export $1 >/etc/apt/$1.asc
}
wheel() { # VERSION: of Salt
	has gcc cc
	mkdir -p /usr/include/python3.11 mirror/simple/salt
	touch /usr/include/python3.11/Python.h
	printf '[global]\nindex-url = http://pypi.acme.io/simple/\ntrusted-host = pypi.acme.io\n' >/etc/pip.conf
	python3 - "$1" <<-'END'
	import sys, zipfile
	v = sys.argv[1]
	name = f"salt-{v}-py3-none-any.whl"
	with zipfile.ZipFile("mirror/simple/salt/" + name, "w") as z:
	    z.writestr("salt.py", f"def main(): print('salt-call {v} (Argon)')\n")
	    z.writestr(f"salt-{v}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: salt\nVersion: {v}\n")
	    z.writestr(f"salt-{v}.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: nobody\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
	    z.writestr(f"salt-{v}.dist-info/entry_points.txt", "[console_scripts]\nsalt-call = salt:main\n")
	    z.writestr(f"salt-{v}.dist-info/RECORD", "")
	with open("mirror/simple/salt/index.html", "w") as f:
	    f.write(f'<!DOCTYPE html><a href="{name}">{name}</a>\n')
	END
}
rpm_of() { # NAME VERSION PROGRAM [LINE…]: an rpm of a program, with more of its spec
	n=$1 v=$2 p=$3; shift 3
	[ -x /usr/bin/file ] || printf '#!/bin/sh\n' >/usr/bin/file && chmod +x /usr/bin/file # rpmbuild asks it
	cat >$n.spec <<-END
	Name: $n
	Version: $v
	Release: 1
	Summary: stands for the real one
	License: none
	BuildArch: noarch
	AutoReqProv: no
	$(printf '%s\n' "$@")
	%description
	stands for the real one
	%install
	mkdir -p %{buildroot}/usr/bin
	printf '#!/bin/sh\necho "$p $v (Argon)"\n' >%{buildroot}/usr/bin/$p
	chmod 755 %{buildroot}/usr/bin/$p
	%files
	/usr/bin/$p
	END
	rpmbuild -bb --quiet --define '_topdir /srv/build' --define '_rpmdir /srv/mirror/rpm' --define '_build_name_fmt %{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}.rpm' $n.spec
}
rpms() { # [LINE…]: of the repository's configuration
	rpm_of ca-certificates 1 certificates; rpm_of ca-certificates-mozilla 1 mozilla
	createrepo_c -q mirror/rpm
	mkdir -p /etc/yum.repos.d /etc/zypp/repos.d
	printf '%s\n' '[acme]' name=acme enabled=1 gpgcheck=0 ${url:-baseurl=http://rpm.acme.io/rpm} "$@" | tee /etc/yum.repos.d/acme.repo >/etc/zypp/repos.d/acme.repo
	echo 39 >/etc/dnf/vars/releasever
}
held() { touch /srv/held; until [ -e /srv/go ]; do sleep 0.1; done; }
`

const (
	fromPackages = "installing what sets servers up from the system's packages"
	fromPip      = "installing what sets servers up with Python's installer; this takes a few minutes"
	waitingTold  = "waiting for another installation on the machine"
	againTold    = "trying again what could not be installed"
)

var systemCases = []systemCase{
	// Debian's apt-get and dpkg.
	{name: "apt-packages", program: "apt-get", prepare: "has git make; salt 3006.9+ds-1 3006.9; salt 1:3008.2+ds-1 3008.2; salt 1:3008.4+ds-1 3008.4; lists",
		path: "/usr/bin/salt-call", told: []string{fromPackages},
		after: `[ "$(dpkg-query -W -f '${Version}' salt-minion)" = 1:3008.2+ds-1 ]; [ "$(readlink /etc/systemd/system/salt-minion.service)" = /dev/null ]`},
	{name: "apt-other-version", program: "apt-get", prepare: "has git make; salt 3006.9+ds-1 3006.9; salt 1:3008.21+ds-1 3008.21; lists; wheel 3008.2",
		path: saltVenv + "/bin/salt-call", told: []string{fromPip}, after: "! dpkg-query -W salt-minion"},
	{name: "apt-unmet", program: "apt-get", prepare: "has git make; salt 3008.2 3008.2 'Depends: python3-looseversion (>= 9)'; lists; wheel 3008.2",
		path: saltVenv + "/bin/salt-call", told: []string{fromPackages, fromPip}},
	{name: "apt-freed", program: "apt-get", prepare: "has make; salt 3008.2 3008.2; git; lists; script tree/DEBIAN/postinst 'touch /srv/held; until [ -e /srv/go ]; do sleep 0.1; done'; deb slow 1; mv mirror/debian/pool/slow_1_all.deb .",
		holds: "dpkg -i slow_1_all.deb", frees: 3, path: "/usr/bin/salt-call", told: []string{"installing git", waitingTold, fromPackages}, after: "[ -x /usr/bin/git ]"},
	{name: "apt-one-down", program: "apt-get", prepare: "has make; git; salt 3008.2 3008.2; lists; echo 'deb [trusted=yes] http://apt.acme.io:81/extra ./' >>/etc/apt/sources.list",
		path: "/usr/bin/salt-call", told: []string{"installing git", againTold, fromPackages}, within: 5 * time.Minute},
	{name: "apt-interrupted", program: "apt-get", prepare: `has make; salt 3008.2 3008.2; git; lists
		script tree/DEBIAN/postinst '[ -e /srv/cut ] || { touch /srv/cut; kill -9 $PPID; sleep 1; }'; deb slow 1
		dpkg -i mirror/debian/pool/slow_1_all.deb && exit 1 || true
		printf 'Package: slow\nStatus: install ok half-configured\nVersion: 1\nArchitecture: all\nMaintainer: nobody <nobody@example.com>\nDescription: stands\n\n' >/var/lib/dpkg/updates/0000`,
		path: "/usr/bin/salt-call", told: []string{"installing git", againTold, fromPackages}, after: "[ \"$(dpkg-query -W -f '${Status}' slow)\" = 'install ok installed' ]"},

	{name: "apt-busy", note: "another installation holds dpkg's lock for as long as the agent waits", program: "apt-get",
		prepare: "has make; git; lists; script tree/DEBIAN/postinst 'touch /srv/held; until [ -e /srv/go ]; do sleep 0.1; done'; deb slow 1",
		holds:   "dpkg -i mirror/debian/pool/slow_1_all.deb", told: []string{waitingTold}, code: "package_busy", who: "retry"},
	{name: "apt-busy-lists", note: "another apt-get update hangs and holds the lock of the lists", program: "apt-get",
		prepare: "has make; git; lists; cp -a mirror/debian mirror/slow; cp /etc/apt/sources.list slow.list; sed -i s,/debian,/slow, slow.list",
		serves:  map[string]int{"/slow/./InRelease": 0},
		holds:   "apt-get -o Dir::Etc::SourceList=/srv/slow.list -o Dir::Etc::SourceParts=- -o Acquire::http::Timeout=300 update", told: []string{waitingTold}, code: "package_busy", who: "retry"},
	{name: "apt-broken", note: "a package that an earlier installation has left half set up cannot be set up", program: "apt-get",
		prepare: "has make; git; lists; script tree/DEBIAN/postinst 'echo no such cluster >&2; exit 1'; deb postgresql 15+248; dpkg -i mirror/debian/pool/postgresql_15+248_all.deb || true",
		code:    "package_install_failed", who: "ops", must: []any{"postgresql"}},
	{name: "apt-down", note: "nothing listens at the package mirror's address", program: "apt-get",
		prepare: "has make; sed -i s/deb.acme.io/deb.acme.io:81/ /etc/apt/sources.list", code: "package_mirror_unreachable", who: "retry", must: []any{"deb.acme.io"}},
	{name: "apt-unknown-host", note: "no name server knows the package mirror", program: "apt-get",
		prepare: "has make; sed -i s/deb.acme.io/deb.example.com/ /etc/apt/sources.list", code: "package_mirror_unreachable", who: "retry", must: []any{"deb.example.com"}},
	{name: "apt-503", note: "the package mirror is overloaded", program: "apt-get", prepare: "has make; git; lists", serves: map[string]int{"Release": 503},
		code: "package_mirror_unreachable", who: "retry", must: []any{"503"}},
	{name: "apt-404", note: "the mirror's lists name a package that it has no more", program: "apt-get", prepare: "has make; git; lists; rm mirror/debian/pool/git*",
		code: "package_mirror_unreachable", who: "retry", must: []any{"404"}},
	{name: "apt-none", note: "the machine's package sources have no git", program: "apt-get", prepare: "has make; lists", code: "package_not_found", who: "ops", must: []any{"git"}},
	{name: "apt-depends", note: "git asks for a package that there is not", program: "apt-get", prepare: "has make; git 'Depends: libcurl3-gnutls (>= 99)'; lists",
		code: "package_install_failed", who: "ops", must: []any{"git"}},
	{name: "apt-full-download", note: "a disk too small for the packages to be fetched", program: "apt-get",
		prepare: "has make; head -c 3000000 /dev/urandom >big; mkdir tree; mv big tree/; git; lists; mount -t tmpfs -o size=1m tmpfs /var/cache/apt/archives; mkdir /var/cache/apt/archives/partial", code: "disk_full", who: "ops"},
	{name: "apt-full-unpack", note: "a disk too small for the packages to be unpacked", program: "apt-get",
		prepare: "has make; mkdir -p tree/srv/git; head -c 3000000 /dev/zero >tree/srv/git/big; git; lists; mkdir git; mount -t tmpfs -o size=1m tmpfs git", code: "disk_full", who: "ops"},
	{name: "apt-hash", note: "a package is not what the signed list says", program: "apt-get",
		prepare: "has make; git; lists; f=$(ls mirror/debian/pool/git*); printf x | dd of=$f bs=1 seek=200 conv=notrunc status=none", code: "checksum_mismatch", who: "ops"},
	{name: "apt-size", note: "the mirror is being renewed: a list is longer than the signed one", program: "apt-get",
		prepare: "has make; git; lists; echo >>mirror/debian/Packages", code: "package_mirror_unreachable", who: "retry", must: []any{"unexpected size"}},
	{name: "apt-unsigned", note: "a mirror that signs nothing, and no word that it is trusted", program: "apt-get",
		prepare: "has make; git; lists; sed -i 's/ .trusted=yes.//' /etc/apt/sources.list", code: "package_install_failed", who: "ops", must: []any{"not signed"}},
	{name: "apt-key", note: "a mirror that signs with a key that the machine has not got", program: "apt-get",
		prepare: "has make; git; lists; sign mirror; sed -i 's/ .trusted=yes.//' /etc/apt/sources.list", code: "package_install_failed", who: "ops", must: []any{"NO_PUBKEY"}},
	{name: "apt-signature", note: "the mirror's signature is not that of its list", program: "apt-get",
		prepare: "has make; git; lists; sign mirror; sed -i s/acme/evil/ mirror/debian/InRelease; sed -i 's/trusted=yes/signed-by=\\/etc\\/apt\\/mirror.asc/' /etc/apt/sources.list", code: "checksum_mismatch", who: "ops"},
	{name: "apt-expired", note: "the mirror has not been renewed for too long", program: "apt-get",
		prepare: "has make; git; date='Sat, 01 Nov 2025 10:00:00 +0000' lists 'Valid-Until: Sat, 08 Nov 2025 10:00:00 UTC'", code: "package_mirror_unreachable", who: "ops", must: []any{"expired"}},
	{name: "apt-to-come", note: "the machine's clock is behind the mirror's", program: "apt-get",
		prepare: "has make; git; date=$(date -Rud '+2 days') lists", code: "clock_wrong", who: "ops"},

	// Python's pip.
	{name: "pip-none", note: "neither the machine's packages nor the Python index have the version", program: "apt-get", prepare: "has git make; lists; wheel 3007.1",
		code: "package_not_found", who: "ops", must: []any{"salt==3008.2"}},
	{name: "pip-down", note: "nothing listens at the Python index's address", program: "apt-get", prepare: "has git make; lists; wheel 3008.2; sed -i s/pypi.acme.io.simple/pypi.acme.io:81\\\\/simple/ /etc/pip.conf",
		code: "package_mirror_unreachable", who: "retry", must: []any{"pypi.acme.io"}},
	{name: "pip-hash", note: "the Python index gives another file than it says", program: "apt-get", prepare: "has git make; lists; wheel 3008.2; sed -i s/.whl\\\"/.whl#sha256=$(echo | sha256sum | cut -d' ' -f1)\\\"/ mirror/simple/salt/index.html",
		code: "checksum_mismatch", who: "ops"},

	// Fedora's dnf.
	{name: "dnf-packages", program: "dnf", prepare: "has git make; rpm_of salt-minion 3006.9 salt-call; rpm_of salt-minion 3008.2 salt-call 'Epoch: 1'; rpm_of salt-minion 3008.21 salt-call; rpms",
		path: "/usr/bin/salt-call", told: []string{fromPackages}, after: "[ $(rpm -q --qf '%{VERSION}' salt-minion) = 3008.2 ]"},
	{name: "dnf-other-version", program: "dnf", prepare: "has git make; rpm_of salt-minion 3008.21 salt-call; rpms; wheel 3008.2",
		path: saltVenv + "/bin/salt-call", told: []string{fromPip}},
	{name: "dnf-freed", program: "dnf", prepare: "has make; rpm_of git 2.43.0 git; rpm_of salt-minion 3008.2 salt-call; rpms; rpm_of slow 1 slow '%pre' 'touch /srv/held; until [ -e /srv/go ]; do sleep 0.1; done'",
		holds: "rpm --force-debian --nodeps -i mirror/rpm/slow-1-1.noarch.rpm", frees: 2, path: "/usr/bin/salt-call", told: []string{"installing git", waitingTold, fromPackages}},
	{name: "dnf-busy", note: "another dnf hangs and holds its lock", program: "dnf", prepare: "has make; rpm_of git 2.43.0 git; rpm_of slow 1 slow; rpms", serves: map[string]int{"/slow-1-1.noarch.rpm": 0},
		holds: "dnf -y -q install slow", limit: 20 * time.Second, code: "package_busy", who: "retry"},
	{name: "dnf-busy-rpm", note: "another installation holds the lock of rpm's database", program: "dnf", prepare: "has make; rpm_of git 2.43.0 git; rpms; rpm_of slow 1 slow '%pre' 'touch /srv/held; until [ -e /srv/go ]; do sleep 0.1; done'",
		holds: "rpm --force-debian --nodeps -i mirror/rpm/slow-1-1.noarch.rpm", told: []string{waitingTold}, code: "package_busy", who: "retry"},
	{name: "dnf-none", note: "the machine's package sources have no git", program: "dnf", prepare: "has make; rpms", code: "package_not_found", who: "ops", must: []any{"git"}},
	{name: "dnf-down", note: "nothing listens at the package mirror's address", program: "dnf", prepare: "has make; url=baseurl=http://rpm.acme.io:81/rpm rpms",
		code: "package_mirror_unreachable", who: "retry", must: []any{"rpm.acme.io"}},
	{name: "dnf-unknown-host", note: "no name server knows the package mirror", program: "dnf", prepare: "has make; url=baseurl=http://rpm.example.com/rpm rpms",
		code: "package_mirror_unreachable", who: "retry", must: []any{"rpm.example.com"}},
	{name: "dnf-503", note: "the package mirror is overloaded", program: "dnf", prepare: "has make; rpms", serves: map[string]int{"/repomd.xml": 503},
		code: "package_mirror_unreachable", who: "retry", must: []any{"503"}},
	{name: "dnf-hash", note: "a package is not what the list says", program: "dnf", prepare: "has make; rpm_of git 2.43.0 git; rpms; printf x | dd of=mirror/rpm/git-2.43.0-1.noarch.rpm bs=1 seek=2000 conv=notrunc status=none",
		code: "checksum_mismatch", who: "ops"},
	{name: "dnf-unsigned", note: "a package that nobody has signed", program: "dnf", prepare: "has make; rpm_of git 2.43.0 git; rpms gpgcheck=1; sed -i 0,/gpgcheck=0/{/gpgcheck=0/d} /etc/yum.repos.d/acme.repo",
		code: "package_install_failed", who: "ops"},
	{name: "dnf-depends", note: "git asks for a package that there is not", program: "dnf", prepare: "has make; rpm_of git 2.43.0 git 'Requires: libcurl-minimal >= 99'; rpms",
		code: "package_install_failed", who: "ops", must: []any{"libcurl-minimal"}},
	{name: "dnf-full", note: "a disk too small for the lists of packages", program: "dnf", prepare: "has make; rpm_of git 2.43.0 git; rpms; mkdir -p /var/cache/dnf; mount -t tmpfs -o size=4k tmpfs /var/cache/dnf", code: "disk_full", who: "ops"},

	// openSUSE's zypper.
	{name: "zypper-packages", program: "zypper", prepare: "has git make; rpm_of salt-minion 3006.9 salt-call; rpm_of salt-minion 3008.2 salt-call; rpm_of salt-minion 3008.21 salt-call; rpms",
		path: "/usr/bin/salt-call", told: []string{fromPackages}},
	{name: "zypper-freed", program: "zypper", prepare: "has make; rpm_of git 2.43.0 git; rpm_of salt-minion 3008.2 salt-call; rpm_of slow 1 slow; rpms", serves: map[string]int{"/slow-1-1.noarch.rpm": 0},
		holds: "zypper --non-interactive install slow", frees: 3, path: "/usr/bin/salt-call", told: []string{"installing git", waitingTold, fromPackages}},
	{name: "zypper-busy", note: "another zypper hangs and holds its lock", program: "zypper", prepare: "has make; rpm_of git 2.43.0 git; rpm_of slow 1 slow; rpms", serves: map[string]int{"/slow-1-1.noarch.rpm": 0},
		holds: "zypper --non-interactive install slow", told: []string{waitingTold}, code: "package_busy", who: "retry", must: []any{"zypper"}},
	{name: "zypper-none", note: "the machine's package sources have no git", program: "zypper", prepare: "has make; rpms", code: "package_not_found", who: "ops", must: []any{"git"}},
	{name: "zypper-down", note: "nothing listens at the package mirror's address", program: "zypper", prepare: "has make; url=baseurl=http://rpm.acme.io:81/rpm rpms",
		code: "package_mirror_unreachable", who: "retry", must: []any{"rpm.acme.io"}},
	{name: "zypper-hash", note: "a package is not what the list says", program: "zypper", prepare: "has make; rpm_of git 2.43.0 git; rpms; printf x | dd of=mirror/rpm/git-2.43.0-1.noarch.rpm bs=1 seek=2000 conv=notrunc status=none",
		code: "checksum_mismatch", who: "ops"},
	{name: "zypper-depends", note: "git asks for a package that there is not", program: "zypper", prepare: "has make; rpm_of git 2.43.0 git 'Requires: libcurl-minimal >= 99'; rpms",
		code: "package_install_failed", who: "ops", must: []any{"libcurl-minimal"}},
}
