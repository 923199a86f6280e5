package tektonsim

import (
	"net/http"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/version"
)

// discover answers what is served, and 404 for all else, in plain text as the API server does where it knows no such path.
func (s *Server) discover(w http.ResponseWriter, r *http.Request) {
	path := strings.Trim(r.URL.Path, "/")
	switch path {
	case "version":
		writeJSON(w, http.StatusOK, version.Info{Major: "1", Minor: "35", GitVersion: Version})
	case "healthz", "readyz", "livez":
		_, _ = w.Write([]byte("ok"))
	case "api":
		writeJSON(w, http.StatusOK, metav1.APIVersions{TypeMeta: metav1.TypeMeta{Kind: "APIVersions"}, Versions: []string{"v1"}})
	case "apis":
		writeJSON(w, http.StatusOK, s.groups())
	default:
		if list := s.resources(path); list != nil {
			writeJSON(w, http.StatusOK, list)
			return
		}
		http.Error(w, "404 page not found", http.StatusNotFound)
	}
}

func (s *Server) groups() metav1.APIGroupList {
	list := metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}}
	seen := map[string]bool{"": true}
	for _, t := range s.tables {
		if seen[t.group] {
			continue
		}
		seen[t.group] = true
		gv := metav1.GroupVersionForDiscovery{GroupVersion: t.gv(), Version: t.version}
		list.Groups = append(list.Groups, metav1.APIGroup{Name: t.group, Versions: []metav1.GroupVersionForDiscovery{gv}, PreferredVersion: gv})
	}
	return list
}

// resources lists those of api/v1 or apis/GROUP/VERSION; nil when there are none.
func (s *Server) resources(path string) *metav1.APIResourceList {
	gv := strings.TrimPrefix(strings.TrimPrefix(path, "apis/"), "api/")
	list := &metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: gv}
	for _, t := range s.tables {
		if t.gv() == gv {
			list.APIResources = append(list.APIResources, metav1.APIResource{
				Name: t.name, SingularName: strings.ToLower(t.kind), Namespaced: t.namespaced(), Kind: t.kind,
				Verbs: metav1.Verbs{"create", "delete", "get", "list", "patch", "update", "watch"},
			})
		}
	}
	if len(list.APIResources) == 0 {
		return nil
	}
	return list
}
