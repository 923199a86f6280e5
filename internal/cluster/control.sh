# etcd, the control plane, and Tekton. Sourced by the cluster's first process.
# shellcheck shell=bash

start_control_plane() {
	start etcd "$bin/kube" etcd --data-dir "$dir/etcd" --unsafe-no-fsync --log-level warn
	# Pods reach it at the bridge's address.
	start apiserver "$bin/kube" kube-apiserver --advertise-address "$node_ip" --cert-dir "$dir/apiserver" \
		--etcd-servers http://127.0.0.1:2379 --service-cluster-ip-range "$service_cidr" \
		--tls-cert-file "$pki/apiserver.crt" --tls-private-key-file "$pki/apiserver.key" \
		--client-ca-file "$pki/ca.crt" --authorization-mode Node,RBAC --allow-privileged \
		--kubelet-client-certificate "$pki/apiserver-client.crt" --kubelet-client-key "$pki/apiserver-client.key" \
		--kubelet-preferred-address-types InternalIP --service-account-issuer https://kubernetes.default.svc \
		--service-account-key-file "$pki/accounts.key" --service-account-signing-key-file "$pki/accounts.key" \
		--enable-priority-and-fairness=false --profiling=false
	until_works 120 "the API server" kubectl get --raw /readyz
	start controllers "$bin/kube" kube-controller-manager "$(with controllers)" --cert-dir "$dir/controllers" \
		--root-ca-file "$pki/ca.crt" --service-account-private-key-file "$pki/accounts.key" \
		--use-service-account-credentials --leader-elect=false --kube-api-qps 200 --kube-api-burst 400
	start scheduler "$bin/kube" kube-scheduler "$(with scheduler)" --cert-dir "$dir/scheduler" --leader-elect=false
	until_works 60 "service accounts" kubectl get serviceaccount default
}

with() { echo "--kubeconfig=$conf/$1.kubeconfig"; }

# tekton_manifests prints what the release would apply, but for its Deployments. The
# API server calls the webhook through a Service that is only another name for
# localhost, and so through no cluster network.
tekton_manifests() {
	local file
	for file in "$bin"/tekton/100-namespace/*.yaml "$bin"/tekton/20*.yaml "$bin"/tekton/config-*.yaml; do
		echo ---
		cat "$file"
	done
	for file in "$bin"/tekton/300-crds/*.yaml "$bin"/tekton/500-webhooks.yaml; do
		echo ---
		sed -E 's/^( *)name: tekton-pipelines-webhook$/&\n\1port: 8443/' "$file"
	done
	cat <<-YAML
		---
		apiVersion: v1
		kind: Service
		metadata: {name: tekton-pipelines-webhook, namespace: tekton-pipelines}
		spec: {type: ExternalName, externalName: localhost}
	YAML
}

start_tekton() {
	tekton_manifests >"$conf/tekton.yaml"
	kubectl apply --server-side -f "$conf/tekton.yaml" >"$log/tekton.log"
	local env=(env SYSTEM_NAMESPACE=tekton-pipelines METRICS_DOMAIN=tekton.dev/pipeline SSL_CERT_DIR=/etc/ssl/certs:"$pki/roots"
		CONFIG_LOGGING_NAME=config-logging CONFIG_OBSERVABILITY_NAME=config-observability CONFIG_FEATURE_FLAGS_NAME=feature-flags)
	# knative gives every program port 8080 for probes; who is second goes without.
	start webhook "${env[@]}" CONFIG_LEADERELECTION_NAME=config-leader-election-webhook \
		WEBHOOK_PORT=8443 WEBHOOK_SERVICE_NAME=tekton-pipelines-webhook WEBHOOK_SECRET_NAME=webhook-certs \
		WEBHOOK_ADMISSION_CONTROLLER_NAME=webhook.pipeline.tekton.dev \
		PROBES_PORT=8181 PROFILING_PORT=8182 METRICS_PROMETHEUS_PORT=8183 "$bin/webhook" "$(with admin)"
	start controller "${env[@]}" CONFIG_LEADERELECTION_NAME=config-leader-election-controller \
		CONFIG_DEFAULTS_NAME=config-defaults CONFIG_SPIRE=config-spire \
		PROBES_PORT=8281 PROFILING_PORT=8282 METRICS_PROMETHEUS_PORT=8283 "$bin/controller" "$(with admin)" \
		-disable-ha -entrypoint-image "$base_registry/entrypoint" -nop-image "$base_registry/nop" \
		-sidecarlogresults-image "$base_registry/sidecarlogresults" -workingdirinit-image "$base_registry/workingdirinit" \
		-shell-image "$base_registry/busybox" -shell-image-win "$base_registry/none"
	until_works 120 "Tekton's webhook" webhook_judges
	until_works 60 "Tekton's controller" curl -fsS http://127.0.0.1:8281/readiness
}

# webhook_judges: it has registered its rules once something wrong is refused. Before
# that all is accepted, so a success would show nothing.
webhook_judges() {
	local answer
	answer=$(kubectl create --dry-run=server -f - 2>&1 <<-YAML || true
		apiVersion: tekton.dev/v1
		kind: Task
		metadata: {name: wrong, namespace: default}
		spec: {steps: [{name: without-image}]}
	YAML
	)
	[[ $answer == *'admission webhook'*denied* ]]
}
