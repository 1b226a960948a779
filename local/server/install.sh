#!/bin/sh
# Installs the packages named as arguments on Debian or Ubuntu, as root, without any server being started or a
# database cluster being made: freshet wants the programs alone. What is changed for that is put back at the end.
set -eu
export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d
cluster=/etc/postgresql-common/createcluster.conf
kept=$(mktemp -d)

put_back() {
	rm -f "$policy"
	if [ -e "$kept/policy" ]; then mv "$kept/policy" "$policy"; fi
	if [ -e "$kept/cluster" ]; then cp -p "$kept/cluster" "$cluster"; fi
	rm -rf "$kept"
}
install() {
	apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 "$@"
}

trap put_back EXIT
trap 'exit 130' INT TERM HUP
if [ -e "$policy" ]; then cp -p "$policy" "$kept/policy"; fi
printf '#!/bin/sh\nexit 101\n' >"$policy" # 101: not allowed
chmod 755 "$policy"

apt-get update -qq || echo 'apt-get update failed; trying with the lists that are there' >&2
case " $* " in *postgresql*)
	install postgresql-common
	cp -p "$cluster" "$kept/cluster"
	echo 'create_main_cluster = false' >>"$cluster"
	;;
esac
install "$@"
