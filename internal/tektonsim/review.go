package tektonsim

import (
	"cmp"
	"encoding/json"
	"io"
	"net/http"

	authv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// reviews is where whoever is known may ask what they may.
const reviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"

// serveReview answers a SelfSubjectAccessReview: everything is allowed but for what [Server.Forbid] was told. It reports
// whether the request is one.
func (s *Server) serveReview(w http.ResponseWriter, r *http.Request) bool {
	if r.URL.Path != reviews || r.Method != http.MethodPost {
		return false
	}
	var review authv1.SelfSubjectAccessReview
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err == nil {
		err = json.Unmarshal(body, &review)
	}
	if a := review.Spec.ResourceAttributes; err != nil || a == nil {
		s.refuse(w, apierrors.NewBadRequest("the review names no resource"))
		return true
	}
	a := review.Spec.ResourceAttributes
	resource := a.Resource
	if a.Subresource != "" {
		resource += "/" + a.Subresource
	}
	s.mu.Lock()
	no := s.forbidden[a.Verb+" "+resource] || s.forbidden["* "+resource]
	s.calls = append(s.calls, Call{Verb: "create", Resource: "selfsubjectaccessreviews", Name: a.Namespace + "/", Code: http.StatusCreated})
	s.mu.Unlock()
	review.TypeMeta = metav1.TypeMeta{Kind: "SelfSubjectAccessReview", APIVersion: "authorization.k8s.io/v1"}
	review.Status = authv1.SubjectAccessReviewStatus{Allowed: !no}
	writeJSON(w, http.StatusCreated, review)
	return true
}

// addInfo adds the ConfigMap in which Tekton says its version to everybody who is known to the cluster.
func (s *Server) addInfo() {
	version := cmp.Or(s.o.TektonVersion, "v1.15.0")
	if s.o.NoTekton || version == "-" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(s.table("", "configmaps"), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: "tekton-pipelines", Name: "pipelines-info"}, Data: map[string]string{"version": version},
	})
}
