package kovra_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kovra.dev/chatops/internal/kovra"
)

func TestAGuessedStepGivesWayToTheRealOnes(t *testing.T) {
	at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	var b kovra.Build
	tell := func(steps ...kovra.Step) []string {
		b.Observe(kovra.ClusterRun{Status: kovra.BuildBuilding, Steps: steps}, at)
		var keys []string
		for _, s := range b.Steps {
			keys = append(keys, s.Key())
		}
		return keys
	}
	clone := kovra.Step{Task: "clone", Name: "clone", Status: kovra.Running, StartedAt: at}
	for _, c := range []struct {
		name string
		told []kovra.Step
		want []string
	}{
		{"a task of which nothing is known", []kovra.Step{clone, {Task: "push", Name: "push"}}, []string{"clone/clone", "push/push"}},
		{"its steps are known", []kovra.Step{clone, {Task: "push", Name: "build"}}, []string{"clone/clone", "push/build"}},
		{"a pod is gone", []kovra.Step{{Task: "push", Name: "build"}}, []string{"push/build", "clone/clone"}},
	} {
		if diff := cmp.Diff(c.want, tell(c.told...)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}
