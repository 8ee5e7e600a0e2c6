#!/bin/bash
# Installs the servers that are Debian packages, where they are missing: Ceph's S3 gateway and nginx.
set -eu
missing=()
{ command -v radosgw && command -v ceph-mon && command -v ceph-osd; } >/dev/null || missing+=(ceph-mon ceph-osd radosgw curl)
[ -x /usr/sbin/nginx ] || missing+=(nginx-light libnginx-mod-http-lua libnginx-mod-http-echo)
[ ${#missing[@]} = 0 ] && exit
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
	echo "These Debian packages are needed; install them first: ${missing[*]}" >&2
	exit 1
fi
# Nothing is started by being installed.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
	printf '#!/bin/sh\nexit 101\n' > $policy
	chmod +x $policy
	trap 'rm -f $policy' EXIT
fi
apt-get update --quiet
DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet --no-install-recommends "${missing[@]}"
