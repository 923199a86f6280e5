# Keys, certificates, kubeconfigs and passwords, new for each cluster. Sourced by
# the cluster's first process.
# shellcheck shell=bash

new_key=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc)

# issue NAME SUBJECT [ALTERNATIVE_NAMES]: NAME.crt and NAME.key.
issue() {
	openssl req -new "${new_key[@]}" -subj "$2" -keyout "$pki/$1.key" -out "$pki/$1.csr"
	openssl x509 -req -in "$pki/$1.csr" -CA "$pki/ca.crt" -CAkey "$pki/ca.key" -days 30 -out "$pki/$1.crt" \
		-extfile <(echo "extendedKeyUsage=serverAuth,clientAuth"; [[ -z ${3:-} ]] || echo "subjectAltName=$3")
} 2>>"$log/pki.log"

# kubeconfig NAME SUBJECT: a client's certificate in a file for that client.
kubeconfig() {
	issue "$1" "$2"
	cat >"$conf/$1.kubeconfig" <<-YAML
		apiVersion: v1
		kind: Config
		current-context: $name
		contexts: [{name: $name, context: {cluster: $name, user: $1}}]
		clusters: [{name: $name, cluster: {server: "https://$node_ip:6443", certificate-authority: $pki/ca.crt}}]
		users: [{name: $1, user: {client-certificate: $pki/$1.crt, client-key: $pki/$1.key}}]
	YAML
}

make_pki() {
	openssl req -x509 "${new_key[@]}" -days 30 -subj "/CN=$name" -keyout "$pki/ca.key" -out "$pki/ca.crt" 2>>"$log/pki.log"
	openssl genrsa -out "$pki/accounts.key" 2048 2>>"$log/pki.log"
	issue apiserver /CN=kube-apiserver "IP:$node_ip,IP:$kubernetes_ip,IP:127.0.0.1,DNS:kubernetes.default.svc"
	issue apiserver-client /O=system:masters/CN=apiserver
	issue server "/CN=$node_ip" "IP:$node_ip" # registries, git and the kubelet's own port
	kubeconfig admin /O=system:masters/CN=admin
	kubeconfig controllers /CN=system:kube-controller-manager
	kubeconfig scheduler /CN=system:kube-scheduler
	kubeconfig proxy /CN=system:kube-proxy
	kubeconfig kubelet "/O=system:nodes/CN=system:node:$name"
}

# make_env writes what a test or a person has to know into one file.
make_env() {
	cat >"$dir/env" <<-ENV
		NETNS=$netns
		KUBECONFIG=$conf/admin.kubeconfig
		KUBECTL=$bin/kubectl
		CA=$pki/ca.crt
		BASE_REGISTRY=$base_registry
		APPS_REGISTRY=$apps_registry
		APPS_USER=apps
		APPS_PASSWORD=$(openssl rand -hex 16)
		OTHER_REGISTRY=$other_registry
		OTHER_USER=other
		OTHER_PASSWORD=$(openssl rand -hex 16)
		GIT_URL=https://$git_server
		GIT_ROOT=$dir/git
		GIT_USER=kovra
		GIT_PASSWORD=$(openssl rand -hex 16)
	ENV
	# shellcheck source=/dev/null
	. "$dir/env"
}
