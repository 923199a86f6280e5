package tektonsim_test

import (
	"testing"

	authv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kovra.dev/chatops/internal/tektonsim"
)

// Whoever is known may ask what they may; what is refused is what a request would be refused.
func TestReviewsTellWhatIsForbidden(t *testing.T) {
	c := newCluster(t, tektonsim.Options{})
	ask := func(verb, resource, sub string) bool {
		t.Helper()
		answer, err := c.kube.AuthorizationV1().SelfSubjectAccessReviews().Create(t.Context(), &authv1.SelfSubjectAccessReview{
			Spec: authv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authv1.ResourceAttributes{Namespace: ns, Verb: verb, Resource: resource, Subresource: sub}},
		}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return answer.Status.Allowed
	}
	if !ask("get", "pods", "log") {
		t.Error("nothing was forbidden")
	}
	c.sim.Forbid("get", "pods/log")
	if ask("get", "pods", "log") || !ask("get", "pods", "") {
		t.Error("the log alone is forbidden")
	}
}

func TestTektonSaysItsVersion(t *testing.T) {
	for given, want := range map[string]string{"": "v1.15.0", "v0.62.0": "v0.62.0"} {
		c := newCluster(t, tektonsim.Options{TektonVersion: given})
		info, err := c.kube.CoreV1().ConfigMaps("tekton-pipelines").Get(t.Context(), "pipelines-info", metav1.GetOptions{})
		if err != nil || info.Data["version"] != want {
			t.Errorf("%q: %v, %v", given, info, err)
		}
	}
}
