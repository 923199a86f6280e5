#!/usr/bin/env bash
# The first process of a cluster: everything else is its child in namespaces of its
# own, and ends when it ends, whatever ends it. Started by up, never by hand.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh" "$1"
# shellcheck disable=SC2034 # used by the parts
bin=$2 tools=$3 golang=$4 images=$5
for part in pki control node images; do
	# shellcheck source=/dev/null
	. "$here/$part.sh"
done
export KUBECONFIG=$conf/admin.kubeconfig PATH=$bin:$PATH

# start NAME COMMAND...: in the background, its output in a log of that name.
start() {
	local program=$1
	shift
	"$@" >"$log/$program.log" 2>&1 </dev/null &
}

# hide: what the programs write outside of the cluster's directory is seen by nobody
# else and is gone with them. The kubelet finds the kernel's settings as it wants them.
hide() {
	local place key value
	mount -t tmpfs none /run
	for place in /var/lib/kubelet /var/lib/cni /var/lib/containerd /var/log; do
		mkdir -p "$place" "$dir$place"
		mount --bind "$dir$place" "$place"
	done
	mount --make-shared /var/lib/kubelet
	while read -r key value; do
		echo "$value" >"$dir/sysctl-${key##*/}"
		mount --bind "$dir/sysctl-${key##*/}" "/proc/sys/$key"
	done <<-KEYS
		vm/overcommit_memory 1
		vm/panic_on_oom 0
		kernel/panic 10
		kernel/panic_on_oops 1
		kernel/keys/root_maxkeys 1000000
		kernel/keys/root_maxbytes 25000000
	KEYS
	for place in /sys/fs/cgroup/*/; do mkdir -p "$place$name"; done
}

mkdir -p "$log" "$pki/roots" "$conf"
hide
timed make_pki
cp "$pki/ca.crt" "$pki/roots/"
make_env
timed start_network
timed start_registry base "$base_registry" "$images"
timed push_images
timed start_registry apps "$apps_registry" "$dir/apps" "$APPS_USER" "$APPS_PASSWORD"
timed start_registry other "$other_registry" "$dir/other" "$OTHER_USER" "$OTHER_PASSWORD"
timed start_git
timed start_control_plane
timed start_containerd
timed start_tekton
timed start_kubelet
timed start_proxy
timed make_volumes
touch "$dir/ready"
# Until killed; orphans of the containers come here to be reaped.
while :; do wait -n 2>/dev/null || sleep 5; done
