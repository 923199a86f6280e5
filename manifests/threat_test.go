package manifests

import (
	"strings"
	"testing"
)

// TestCloneRefuses what git would take for an option, another protocol, or a login in the address.
func TestCloneRefuses(t *testing.T) {
	clone := script(t, "base/clone.yaml", "kovra-clone", "clone")
	const sha = "da1560886d4f094c3e6c9ef40349f7d38b5d27d7"
	for shell, argv := range shells(t) {
		for _, tt := range []struct{ url, revision, refused string }{
			{"--upload-pack=touch x", sha, "must begin with"},
			{"ext::sh -c touch% x", sha, "must begin with"},
			{"file:///etc", sha, "must begin with"},
			{"ssh://git@gitlab.example/x", sha, "must begin with"},
			{"/etc", sha, "must begin with"},
			{"https://", sha, "must begin with"},
			{"https://user:secret@gitlab.example/x.git", sha, "holds a name or password"},
			{"https://gitlab.example/x.git", "--upload-pack=touch x", "Not a full commit id"},
			{"https://gitlab.example/x.git", "main", "Not a full commit id"},
			{"https://gitlab.example/x.git", "refs/merge-requests/1/head", "Not a full commit id"},
			{"https://gitlab.example/x.git", sha[:39], "Not a full commit id"},
			{"https://gitlab.example/x.git", sha[:39] + "\n", "Not a full commit id"},
			{"https://gitlab.example/x.git", strings.ToUpper(sha), "Not a full commit id"},
			{"https://gitlab.example/x.git", "", "Not a full commit id"},
		} {
			out, ok := run(t, argv, clone, []string{"REPO_URL=" + tt.url, "REVISION=" + tt.revision, "SOURCE=" + t.TempDir(), "LOGIN=", "CA=", "COMMIT=/dev/null"})
			if ok || !strings.Contains(out, tt.refused) || strings.Contains(out, "secret") {
				t.Errorf("%s: %q of %q: ok %t\n%s", shell, tt.revision, tt.url, ok, out)
			}
		}
	}
}

// TestDeployRefuses what kubectl would take for an option, or a shell for more than a name.
func TestDeployRefuses(t *testing.T) {
	patch := script(t, "base/deploy.yaml", "kovra-deploy", "patch")
	const image = "registry.example.com/web@sha256:0123"
	for shell, argv := range shells(t) {
		for _, bad := range []string{"--all-namespaces", "a b", "a;id", "$(id)", "`id`", "A", "a/b", "", "a\nb", "a=b", "a[0]"} {
			for _, env := range [][]string{
				{"NAMESPACE=" + bad, "DEPLOYMENT=web", "CONTAINER=app", "IMAGE=" + image},
				{"NAMESPACE=shop", "DEPLOYMENT=" + bad, "CONTAINER=app", "IMAGE=" + image},
				{"NAMESPACE=shop", "DEPLOYMENT=web", "CONTAINER=" + bad, "IMAGE=" + image},
			} {
				out, ok := run(t, argv, patch, append(env, "ALLOW_MANAGED=", "PREVIOUS_RESULT=/dev/null", "IMAGE_RESULT=/dev/null"))
				if ok || !strings.Contains(out, "Not a name in Kubernetes") {
					t.Errorf("%s: %v: ok %t\n%s", shell, env, ok, out)
				}
			}
		}
		for _, bad := range []string{"--local", "a b", "$(id)", "a;id", "", "a\nb", "a|b"} {
			out, ok := run(t, argv, patch, []string{"NAMESPACE=shop", "DEPLOYMENT=web", "CONTAINER=app", "IMAGE=" + bad, "ALLOW_MANAGED=", "PREVIOUS_RESULT=/dev/null", "IMAGE_RESULT=/dev/null"})
			if ok || !strings.Contains(out, "Not the name of an image") {
				t.Errorf("%s: image %q: ok %t\n%s", shell, bad, ok, out)
			}
		}
	}
}
