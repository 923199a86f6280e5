package check

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/tekton"
)

var clusterRows = []Row{
	{"cluster.api.kubeconfig", Wrong, "The kubeconfig <file> cannot be used: <reason>.", "Correct it: `kubectl --kubeconfig <file> get --raw /version` must answer."},
	{"cluster.api.unreachable", Wrong, "The cluster cannot be reached at <server>: <reason>.", "Let this machine reach it: `kubectl --kubeconfig <file> get --raw /version`. In a pod, a NetworkPolicy must allow it."},
	{"cluster.api.certificate", Wrong, "The certificate of <server> is not trusted: <reason>.", "Put the authority that signed it into certificate-authority-data of <file>; `kubectl config view --raw` on a machine where it works shows it."},
	{"cluster.api.credentials", Wrong, "The cluster does not accept the credentials of <file>.", "Make new ones: `kubectl -n kovra create token kovra`; in a pod, set serviceAccountName: kovra."},
	{"cluster.tekton.missing", Wrong, "Tekton Pipelines is not installed in the cluster (it serves no tekton.dev/v1).", "Install it, https://tekton.dev/docs/installation/, then `kubectl apply -k manifests/tekton`."},
	{"cluster.tekton.old", Wrong, "Tekton Pipelines is <version>; builds need <least> or newer.", "Upgrade it: https://tekton.dev/docs/installation/."},
	{"cluster.namespace.missing", Wrong, "There is no namespace <namespace>.", "`kubectl apply -k manifests/tekton` makes kovra-builds with all that belongs into it; of another namespace set KOVRA_BUILD_NAMESPACE."},
	{"cluster.rights.none", Wrong, "The bot has no rights in namespace <namespace>, if there is such a one.", "`kubectl apply -k manifests/tekton`, with `namespace: <namespace>` in its kustomization, and let the bot run as the service account kovra of the namespace kovra."},
	{"cluster.rights.missing", Wrong, "The bot may not do this in namespace <namespace>: <rights>.", "`kubectl apply -k manifests/tekton`, with `namespace: <namespace>` in its kustomization: it binds the role kovra-bot."},
	{"cluster.pipelines.missing", Wrong, "Namespace <namespace> lacks: <things>.", "`kubectl apply -k manifests/tekton`, with `namespace: <namespace>` in its kustomization."},
	{"cluster.target.rights", Wrong, "The bot may not see Deployments in namespace <namespace>, to which an app is deployed.", "`kubectl -n <namespace> apply -k manifests/tekton/target`."},
	{"cluster.registry.unreachable", Warning, "The registry <host> cannot be reached from here: <reason>. Builds need it from within the cluster.", "Correct KOVRA_REGISTRY, or see that the cluster reaches it: `curl -i https://<host>/v2/`."},
	{"cluster.registry.certificate", Warning, "The certificate of the registry <host> is not trusted here: <reason>.", "Let KOVRA_CA_FILE name a file with the certificate of the authority that signed it, in PEM: builds get it too, unless KOVRA_CA_CONFIGMAP names a ConfigMap of your own, which then has to hold it."},
	{"cluster.registry.plain", Warning, "The registry <host> speaks plain HTTP, and builds push by HTTPS alone.", "Give it a certificate."},
	{"cluster.registry.not_registry", Warning, "What answers at <host> is not a registry (<said>).", "Set KOVRA_REGISTRY to the registry's host and a path: registry.example.com/team."},
}

const noBuilds = "builds are off: "

// cluster looks at the cluster for builds and at the registry.
func (l *look) cluster(ctx context.Context) []Finding {
	if off := l.cfg.NoBuilds(); off != "" {
		if l.bad("KOVRA_KUBECONFIG", "KOVRA_REGISTRY", "KOVRA_BUILD_NAMESPACE") {
			off = "KOVRA_KUBECONFIG or KOVRA_REGISTRY is wrong"
		}
		return []Finding{skip("cluster.api", "cluster", noBuilds+off)}
	}
	return append(l.kubernetes(ctx), l.registry(ctx))
}

// kubernetes looks at the cluster alone.
func (l *look) kubernetes(ctx context.Context) []Finding {
	const id, subject = "cluster.api", "cluster"
	file := cmp.Or(l.cfg.Kubeconfig, "the pod's service account")
	i, err := tekton.NewInspector(tekton.Options{Kubeconfig: l.cfg.Kubeconfig, Namespace: l.cfg.BuildNamespace, Timeout: callTimeout})
	if err != nil {
		return []Finding{found(id+".kubeconfig", subject, "file", file, "reason", reasonOf(err))}
	}
	places := addOnce([]string{l.cfg.BuildNamespace}, l.state.builds...)
	missing, err := i.Missing(ctx, places[0], tekton.BuildRights())
	if err != nil {
		args := []string{"file", file, "server", i.Server(), "reason", reasonOf(err)}
		if how, is := untrusted(err); is {
			return []Finding{found(id+".certificate", subject, append(args[:4], "reason", how)...)}
		}
		if kovra.KindOf(err) == kovra.Denied {
			return []Finding{found(id+".credentials", subject, args...)}
		}
		return []Finding{found(id+".unreachable", subject, args...)}
	}
	list := []Finding{fine(id, subject, i.Server())}
	tektons, installed := tektonOf(ctx, i)
	list = append(list, tektons)
	for n, ns := range places {
		if n > 0 {
			missing, err = i.Missing(ctx, ns, tekton.BuildRights())
		}
		list = append(list, place(ctx, i, ns, installed, missing, err)...)
	}
	for _, ns := range l.state.targets {
		list = append(list, target(ctx, i, ns))
	}
	return list
}

// tektonOf looks at Tekton itself.
func tektonOf(ctx context.Context, i *tekton.Inspector) (Finding, bool) {
	const id, subject = "cluster.tekton", "Tekton"
	serves, err := i.Serves(ctx)
	switch {
	case err != nil:
		return skip(id, subject, reasonOf(err)), false
	case !serves:
		return found(id+".missing", subject), false
	}
	version := i.Version(ctx)
	switch {
	case tekton.OldVersion(version):
		return found(id+".old", subject, "version", version, "least", tekton.LeastVersion()), true
	case version == "":
		return fine(id, subject, "there; which version, it does not say"), true
	}
	return fine(id, subject, version), true
}

// place looks at a namespace of builds: what may we do there, and is everything there.
func place(ctx context.Context, i *tekton.Inspector, ns string, installed bool, missing []tekton.Right, err error) []Finding {
	args := []string{"namespace", ns}
	if err != nil {
		return []Finding{skip("cluster.rights", ns, reasonOf(err))}
	}
	there, sure, err := i.Namespace(ctx, ns)
	if err == nil && sure && !there {
		return []Finding{found("cluster.namespace.missing", ns, args...)}
	}
	if len(missing) == len(tekton.BuildRights()) {
		return []Finding{found("cluster.rights.none", ns, args...)}
	}
	var list []Finding
	if len(missing) > 0 {
		words := make([]string, len(missing))
		for n, r := range missing {
			words[n] = r.String()
		}
		list = append(list, found("cluster.rights.missing", ns, append(args, "rights", strings.Join(words, ", "))...))
	} else {
		list = append(list, fine("cluster.rights", ns, "all rights"))
	}
	if !installed {
		return list
	}
	lacking, err := i.Lacking(ctx, ns)
	switch {
	case err != nil:
		return append(list, skip("cluster.pipelines", ns, reasonOf(err)))
	case len(lacking) > 0:
		return append(list, found("cluster.pipelines.missing", ns, append(args, "things", strings.Join(lacking, ", "))...))
	}
	return append(list, fine("cluster.pipelines", ns, "Pipelines and Tasks are there"))
}

// target looks at a namespace that is deployed to.
func target(ctx context.Context, i *tekton.Inspector, ns string) Finding {
	const id = "cluster.target"
	missing, err := i.Missing(ctx, ns, tekton.TargetRights())
	switch {
	case err != nil:
		return skip(id, ns, reasonOf(err))
	case len(missing) > 0:
		return found(id+".rights", ns, "namespace", ns)
	}
	return fine(id, ns, "Deployments can be seen")
}

// reasonOf says in a few words what is behind an error of the cluster.
func reasonOf(err error) string {
	e, is := errors.AsType[*kovra.Error](err)
	if !is || e.Err == nil {
		return why(err)
	}
	inner := e.Err
	if text := why(inner); text != inner.Error() {
		return text
	}
	return strings.TrimSuffix(kovra.PublicText(err), ".") + " (" + strings.Join(strings.Fields(inner.Error()), " ") + ")"
}

// registry asks the registry whether it is one: GET /v2/ answers 200 or 401 (OCI distribution specification, "Determining support").
func (l *look) registry(ctx context.Context) Finding {
	const id, subject = "cluster.registry", "registry"
	host, _, _ := strings.Cut(l.cfg.Registry, "/")
	if host == "docker.io" {
		host = "registry-1.docker.io" // where Docker Hub's registry is
	}
	a, err := l.get(ctx, "https://"+host+"/v2/", nil)
	if err != nil {
		if how, is := untrusted(err); is {
			return found(id+".certificate", subject, "host", host, "reason", how)
		}
		if errors.Is(err, http.ErrSchemeMismatch) {
			return found(id+".plain", subject, "host", host)
		}
		return found(id+".unreachable", subject, "host", host, "reason", why(err))
	}
	if a.status != http.StatusOK && a.status != http.StatusUnauthorized {
		return found(id+".not_registry", subject, "host", host, "said", a.said())
	}
	return fine(id, subject, host)
}

// addOnce adds what is not empty and not in the list yet.
func addOnce(list []string, more ...string) []string {
	for _, one := range more {
		if one != "" && !slices.Contains(list, one) {
			list = append(list, one)
		}
	}
	return list
}
