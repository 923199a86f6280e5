package tekton

import (
	"context"
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kovra.dev/chatops/internal/kovra"
)

// Target is a Deployment as it is now; an error of kind NotFound when there is none, Denied when we may not see it, Invalid when the
// settings do not say which of its containers is meant. With Invalid the names of the containers are returned.
func (c *Client) Target(ctx context.Context, t kovra.DeployTarget) (kovra.TargetState, error) {
	ctx, cancel := c.within(ctx)
	defer cancel()
	d, err := c.apps.Deployments(t.Namespace).Get(ctx, t.Deployment, metav1.GetOptions{})
	if err != nil {
		return kovra.TargetState{}, call{"get", "deployments", "Deployment", t.Namespace, t.Deployment}.judge(err)
	}
	state := kovra.TargetState{Owner: owner(d)}
	for _, container := range d.Spec.Template.Spec.Containers {
		state.Containers = append(state.Containers, container.Name)
	}
	container, err := pick(d.Spec.Template.Spec.Containers, t)
	if err != nil {
		return state, err
	}
	state.Image = container.Image
	return state, nil
}

// pick finds the container that is meant: the one of the name, or the only one.
func pick(all []corev1.Container, t kovra.DeployTarget) (corev1.Container, error) {
	if t.Container == "" && len(all) == 1 {
		return all[0], nil
	}
	names := make([]string, 0, len(all))
	for _, c := range all {
		if c.Name == t.Container {
			return c, nil
		}
		names = append(names, c.Name)
	}
	if t.Container == "" {
		return corev1.Container{}, kovra.Errorf(kovra.Invalid, "The Deployment %s has %d containers (%s); the settings must name one.",
			t.Deployment, len(all), strings.Join(names, ", "))
	}
	return corev1.Container{}, kovra.Errorf(kovra.Invalid, "The Deployment %s has no container %s; it has %s.", t.Deployment, t.Container, strings.Join(names, ", "))
}

// owner names who would undo a change of the Deployment; "": nobody that we know of. The label app.kubernetes.io/instance alone says
// nothing: Argo CD sets it, and so do charts and people.
func owner(d *appsv1.Deployment) string {
	labels, notes := d.Labels, d.Annotations
	tracked, _, _ := strings.Cut(notes["argocd.argoproj.io/tracking-id"], ":")
	switch {
	case tracked != "":
		return named("Argo CD", "application", tracked)
	case labels["argocd.argoproj.io/instance"] != "":
		return named("Argo CD", "application", labels["argocd.argoproj.io/instance"])
	case labels["kustomize.toolkit.fluxcd.io/name"] != "":
		return named("Flux", "Kustomization", labels["kustomize.toolkit.fluxcd.io/name"])
	case labels["helm.toolkit.fluxcd.io/name"] != "":
		return named("Flux", "HelmRelease", labels["helm.toolkit.fluxcd.io/name"])
	case notes["meta.helm.sh/release-name"] != "":
		return named("Helm", "release", notes["meta.helm.sh/release-name"])
	case labels[LabelManagedBy] == "Helm":
		return "Helm"
	}
	for _, f := range d.ManagedFields { // what tracks by the ambiguous label is known by who wrote the fields
		if who := managers[f.Manager]; who != "" && f.Subresource == "" {
			return who
		}
	}
	if o := metav1.GetControllerOf(d); o != nil {
		return named("A controller", o.Kind, o.Name)
	}
	return ""
}

// managers are the controllers that keep a Deployment as it is written elsewhere, by the names under which they write its fields.
var managers = map[string]string{
	"argocd-controller": "Argo CD", "argocd-application-controller": "Argo CD", "kustomize-controller": "Flux", "helm-controller": "Flux",
}

func named(who, what, name string) string { return fmt.Sprintf("%s (%s %s)", who, what, name) }
