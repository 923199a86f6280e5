package e2e

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kovra.dev/chatops/internal/check"
	"kovra.dev/chatops/internal/clustertest"
)

// TestClusterCheck: `kovra check` against a real API server, with the account that our manifests bind for the bot: all is well, and
// what is taken away is missed.
func TestClusterCheck(t *testing.T) {
	bed := clustertest.Open(t)
	place := bed.Install(t, "buildkit")
	s := &shop{story: openStory(t.Context(), t.TempDir(), buildProgram(t)), t: t, bed: bed, place: place}
	t.Cleanup(s.close)
	s.env = []string{
		"KOVRA_KUBECONFIG=" + s.account(), "KOVRA_BUILD_NAMESPACE=" + place.Namespace, "KOVRA_CA_FILE=" + bed.CA, "KOVRA_CA_CONFIGMAP=kovra-ca",
		"KOVRA_REGISTRY=" + bed.Apps.Address + "/" + place.Namespace,
	}
	s.finds()
	bed.Kubectl(t, "", "-n", place.Namespace, "delete", "tasks.tekton.dev/kovra-clone", "pipelines.tekton.dev/kovra-deploy")
	s.finds("cluster.pipelines.missing: Pipeline kovra-deploy, Task kovra-clone")
	bed.Kubectl(t, "", "-n", place.Namespace, "patch", "role", "kovra-bot", "--type=json", "-p",
		`[{"op": "replace", "path": "/rules/0/verbs", "value": ["get", "list", "watch", "patch"]}]`)
	s.finds("cluster.rights.missing: create pipelineruns.tekton.dev", "cluster.pipelines.missing: Pipeline kovra-deploy, Task kovra-clone")
	bed.Kubectl(t, "", "-n", place.Namespace, "delete", "rolebinding", "kovra-bot")
	s.finds("cluster.rights.none: The bot has no rights in namespace " + place.Namespace + ", if there is such a one")
}

// finds checks what is wrong with the cluster: the last part of each line, after its id. What has just been changed there is
// not known everywhere at once.
func (s *shop) finds(want ...string) {
	s.t.Helper()
	diff := cmp.Diff(want, s.found())
	for end := time.Now().Add(time.Minute); diff != "" && time.Now().Before(end); diff = cmp.Diff(want, s.found()) {
		time.Sleep(time.Second)
	}
	if diff != "" {
		s.t.Errorf("what is wrong with the cluster (-want +got):\n%s", diff)
	}
}

// found is what a check says of the cluster that is not well.
func (s *shop) found() (got []string) {
	s.t.Helper()
	cmd := exec.CommandContext(s.ctx, s.program, "check", "--json")
	cmd.Dir, cmd.Env = s.dir, s.environment(slices.Clone(s.env))
	out, _ := cmd.Output() // the rest of the installation is not what this is about
	var report check.Report
	if err := json.Unmarshal(out, &report); err != nil {
		s.t.Fatalf("%v in:\n%s", err, out)
	}
	for _, f := range report {
		if strings.HasPrefix(f.ID, "cluster.") && f.Status != check.OK {
			what := f.What
			if _, after, found := strings.Cut(what, ": "); found {
				what = after
			}
			got = append(got, f.ID+": "+strings.TrimSuffix(what, "."))
		}
	}
	return got
}
