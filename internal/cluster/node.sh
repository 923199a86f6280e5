# The node: network, registries, git, containerd, kubelet, proxy. Sourced by the
# cluster's first process.
# shellcheck shell=bash

start_network() {
	ip link set lo up
	ip link add pods type bridge
	ip addr add "$node_ip/16" dev pods
	ip link set pods up
	# Whoever is no pod reaches Services too: the packet filter turns what has any way at all.
	ip route add "$service_cidr" dev pods
	echo 1 >/proc/sys/net/ipv4/ip_forward
}

# start_registry NAME ADDRESS DIRECTORY [USER PASSWORD]
start_registry() {
	local auth=
	if (($# > 3)); then
		htpasswd -Bbn "$4" "$5" >"$conf/$1.htpasswd"
		auth="auth: {htpasswd: {realm: $1, path: $conf/$1.htpasswd}}"
	fi
	mkdir -p "$3"
	cat >"$conf/$1.yaml" <<-YAML
		version: 0.1
		log: {level: warn}
		storage: {filesystem: {rootdirectory: $3}, delete: {enabled: true}}
		http: {addr: "$2", tls: {certificate: $pki/server.crt, key: $pki/server.key}}
		$auth
	YAML
	start "registry-$1" docker-registry serve "$conf/$1.yaml"
	mkdir -p "$conf/certs.d/$2"
	cat >"$conf/certs.d/$2/hosts.toml" <<-TOML
		server = "https://$2"
		ca = "$pki/ca.crt"
		[host."https://$2"]
		ca = "$pki/ca.crt"
	TOML
	until_works 20 "registry $1" curl -sS --cacert "$pki/ca.crt" "https://$2/v2/"
}

start_git() {
	mkdir -p "$dir/git/public"
	start git env GIT_USER="$GIT_USER" GIT_PASSWORD="$GIT_PASSWORD" "$bin/gitserver" \
		-listen "$git_server" -cert "$pki/server.crt" -key "$pki/server.key" -root "$dir/git"
}

start_containerd() {
	mkdir -p "$conf/cni"
	cat >"$conf/cni/pods.conflist" <<-JSON
		{"cniVersion": "0.4.0", "name": "pods", "plugins": [
			{"type": "bridge", "bridge": "pods", "isGateway": true, "hairpinMode": true, "ipam": {
				"type": "host-local", "routes": [{"dst": "0.0.0.0/0"}],
				"ranges": [[{"subnet": "$pod_cidr", "gateway": "$node_ip"}]]}},
			{"type": "portmap", "capabilities": {"portMappings": true}}]}
	JSON
	# restrict_oom_score_adj: a machine without CAP_SYS_RESOURCE cannot lower a
	# sandbox's score, and runc says only "can't get final child's PID".
	cat >"$conf/containerd.toml" <<-TOML
		version = 2
		[plugins."io.containerd.grpc.v1.cri"]
		  restrict_oom_score_adj = true
		  sandbox_image = "$base_registry/pause:latest"
		[plugins."io.containerd.grpc.v1.cri".cni]
		  bin_dir = "/usr/lib/cni"
		  conf_dir = "$conf/cni"
		[plugins."io.containerd.grpc.v1.cri".registry]
		  config_path = "$conf/certs.d"
	TOML
	start containerd containerd --config "$conf/containerd.toml"
	until_works 30 containerd ctr version
}

start_kubelet() {
	# cgroup v1 and swap are what the machine may have; nothing is ever evicted or
	# collected, since the cluster does not live long enough for that. Nobody answers at
	# the address for DNS, but without one each pod gets a warning.
	cat >"$conf/kubelet.yaml" <<-YAML
		apiVersion: kubelet.config.k8s.io/v1beta1
		kind: KubeletConfiguration
		address: $node_ip
		containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
		cgroupDriver: cgroupfs
		cgroupRoot: /$name
		failCgroupV1: false
		failSwapOn: false
		enforceNodeAllocatable: []
		maxPods: 200
		resolvConf: ""
		clusterDNS: [$node_ip]
		authentication: {anonymous: {enabled: false}, x509: {clientCAFile: $pki/ca.crt}}
		authorization: {mode: Webhook}
		tlsCertFile: $pki/server.crt
		tlsPrivateKeyFile: $pki/server.key
		volumePluginDir: /var/lib/kubelet/plugins
		evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%}
		imageGCHighThresholdPercent: 100
		serializeImagePulls: false
		registryPullQPS: 0
	YAML
	start kubelet "$bin/kube" kubelet --config "$conf/kubelet.yaml" "$(with kubelet)" --hostname-override "$name" --node-ip "$node_ip"
	until_works 90 "the node" kubectl wait --for=condition=Ready "node/$name" --timeout=1s
}

start_proxy() {
	cat >"$conf/proxy.yaml" <<-YAML
		apiVersion: kubeproxy.config.k8s.io/v1alpha1
		kind: KubeProxyConfiguration
		clientConnection: {kubeconfig: $conf/proxy.kubeconfig}
		mode: iptables
		clusterCIDR: $pod_cidr
		conntrack: {maxPerCore: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
	YAML
	start proxy "$bin/kube" kube-proxy --config "$conf/proxy.yaml" --hostname-override "$name"
}

# make_volumes: nothing provisions volumes on demand here, so there are some for the
# claims of PipelineRuns and of the bot. The kubelet gives no group to a hostPath, so everybody may
# write there.
make_volumes() {
	local i
	for i in {1..64}; do
		mkdir -p -m 777 "$dir/volumes/$i"
		cat <<-YAML
			---
			apiVersion: v1
			kind: PersistentVolume
			metadata: {name: volume-$i}
			spec:
			  capacity: {storage: 20Gi}
			  accessModes: [ReadWriteOnce]
			  hostPath: {path: $dir/volumes/$i}
		YAML
	done | kubectl create -f - >/dev/null
}
