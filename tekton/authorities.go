package tekton

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The ConfigMap that we keep in each namespace of builds, and its key.
const (
	ourAuthorities = "kovra-ca"
	authoritiesKey = "ca.crt"
)

// caConfigMap is the ConfigMap that builds trust; "": none.
func (o *Options) caConfigMap() string {
	if o.CAConfigMap == "" && len(o.CA) > 0 {
		return ourAuthorities
	}
	return o.CAConfigMap
}

// ensureAuthorities puts the certificates that builds are to trust into the namespace, unless an administrator has named a
// ConfigMap of their own. One that has our name and not our label is theirs, too, and stays as it is. Class: by
// precondition; what is there is read first.
func (c *Client) ensureAuthorities(ctx context.Context, namespace string) error {
	if c.o.CAConfigMap != "" || len(c.o.CA) == 0 {
		return nil
	}
	ctx, cancel := c.within(ctx)
	defer cancel()
	what := call{resource: "configmaps", noun: "ConfigMap", ns: namespace, name: ourAuthorities}
	maps := c.core.ConfigMaps(namespace)
	there, err := maps.Get(ctx, ourAuthorities, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		what.verb = "create"
		_, err = maps.Create(ctx, &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: ourAuthorities, Namespace: namespace, Labels: map[string]string{LabelManagedBy: ManagedBy}},
			Data:       map[string]string{authoritiesKey: string(c.o.CA)},
		}, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			return nil // another build was faster
		}
	case err != nil:
		what.verb = "get"
	case there.Labels[LabelManagedBy] == ManagedBy && there.Data[authoritiesKey] != string(c.o.CA):
		what.verb = "update"
		there.Data = map[string]string{authoritiesKey: string(c.o.CA)}
		_, err = maps.Update(ctx, there, metav1.UpdateOptions{})
	}
	return what.judge(err)
}
