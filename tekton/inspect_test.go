package tekton

import "testing"

func TestOldVersions(t *testing.T) {
	for version, want := range map[string]bool{
		"v1.15.0": false, "v1.12.0": false, "v1.11.3": true, "v0.62.0": true, "v2.0.0": false, "devel": false, "": false, "v1.12.0-rc1": false,
	} {
		if got := OldVersion(version); got != want {
			t.Errorf("%q: old %v, want %v", version, got, want)
		}
	}
}

// Rights are written as kubectl takes them.
func TestRightsAreReadable(t *testing.T) {
	for want, r := range map[string]Right{
		"create pipelineruns.tekton.dev": {Group: "tekton.dev", Resource: "pipelineruns", Verb: "create"},
		"get pods/log":                   {Resource: "pods/log", Verb: "get"},
		"get deployments.apps":           {Group: "apps", Resource: "deployments", Verb: "get"},
	} {
		if got := r.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
