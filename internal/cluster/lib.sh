# Settings and helpers of the cluster's scripts. Sourced with the arguments of the
# script, never run.
# shellcheck shell=bash disable=SC2034 # what is set here is used by the others
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# The cluster's name: of its network namespace, its directory and its cgroups.
name=${1:-kovra}
[[ $name =~ ^[a-z][a-z0-9-]{0,30}$ ]] || {
	echo "a cluster's name is made of a-z, 0-9 and -: $name" >&2
	exit 2
}

# What is built once and kept, and what one cluster has while it lives.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/kovra/cluster
dir=$cache/run/$name
netns=/run/netns/$name
log=$dir/log pki=$dir/pki conf=$dir/conf

# Addresses mean something inside of the network namespace only, so every
# cluster has the same.
node_ip=10.244.0.1
pod_cidr=10.244.0.0/16
service_cidr=10.96.0.0/24
kubernetes_ip=10.96.0.1
base_registry=$node_ip:5000  # images that everybody may pull
apps_registry=$node_ip:5001  # where builds push: a password of its own
other_registry=$node_ip:5002 # the registry of another team: another password
git_server=$node_ip:3000

say() { printf '%s %s\n' "$(date +%T)" "$*" >&2; }

# timed COMMAND...: runs it and says how long it took, but not with which passwords.
timed() {
	local from=$SECONDS
	"$@"
	say "$1 ${2:-} ($((SECONDS - from)) s)"
}

# until_works SECONDS WHAT COMMAND...: tries COMMAND until it succeeds.
until_works() {
	local end=$((SECONDS + $1)) what=$2
	shift 2
	until "$@" >/dev/null 2>&1; do
		((SECONDS < end)) || {
			say "waited in vain for $what"
			return 1
		}
		sleep 0.2
	done
}

# digest FILE...: a short name for their contents.
digest() { cat "$@" | sha256sum | cut -c1-12; }

# alive: whether the cluster's first process lives. A pid comes back one day, so
# the time of its start belongs to it.
alive() {
	local pid start
	[[ -s $dir/pid ]] && read -r pid start <"$dir/pid" && [[ $(started "$pid") == "$start" ]]
}

started() { sed 's/^.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }
