package tekton

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/tektoncd/pipeline/pkg/apis/pipeline"
	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/retry"

	"kovra.dev/chatops/internal/kovra"
)

// StartBuild makes the PipelineRun of a build. Class: by name; a second call, also from another life of the program, finds the first
// one's object and returns nil. An error of kind Invalid or Denied is the cluster's last word; after one of kind Unavailable it is to be
// called again, and may have been carried out already.
func (c *Client) StartBuild(ctx context.Context, b kovra.Build) error {
	run, err := BuildRun(c.o, b)
	if err != nil {
		return err
	}
	if err := c.ensureAuthorities(ctx, run.Namespace); err != nil {
		return err
	}
	return c.start(ctx, run, LabelBuild)
}

// StartDeployment makes the PipelineRun of a deployment, likewise. A target without a container means the only one of the Deployment.
func (c *Client) StartDeployment(ctx context.Context, d kovra.Deployment) error {
	if err := checkTarget(d.Target); err != nil {
		return err
	}
	if d.Target.Container == "" {
		state, err := c.Target(ctx, d.Target)
		if err != nil {
			return err
		}
		d.Target.Container = state.Containers[0]
	}
	run, err := DeployRun(c.o, d)
	if err != nil {
		return err
	}
	return c.start(ctx, run, LabelDeployment)
}

// start makes a PipelineRun unless it is there already. Unknown fields are refused, not dropped: an older Tekton must not silently
// leave out what keeps a build apart from its node.
func (c *Client) start(ctx context.Context, run *v1.PipelineRun, label string) error {
	ctx, cancel := c.within(ctx)
	defer cancel()
	runs := c.tekton.PipelineRuns(run.Namespace)
	_, err := runs.Create(ctx, run, metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict})
	if !apierrors.IsAlreadyExists(err) {
		return pipelineRun("create", run.Namespace, run.Name).judge(err)
	}
	there, err := runs.Get(ctx, run.Name, metav1.GetOptions{})
	if err != nil {
		return pipelineRun("get", run.Namespace, run.Name).judge(err)
	}
	if there.Labels[LabelManagedBy] != ManagedBy || there.Labels[label] != run.Labels[label] || there.Labels[LabelApp] != run.Labels[LabelApp] {
		return kovra.Errorf(kovra.Invalid, "There is a PipelineRun %s in namespace %s that is not this one.", run.Name, run.Namespace)
	}
	return nil
}

func pipelineRun(verb, ns, name string) call {
	return call{verb: verb, resource: "pipelineruns", noun: "PipelineRun", ns: ns, name: name}
}

// cancelPatch asks for the end of all tasks but those that a team has put under finally. A merge patch of this one field is right in
// every state, whatever else changed meanwhile.
const cancelPatch = `{"spec":{"status":"` + v1.PipelineRunSpecStatusCancelledRunFinally + `"}}`

// finished is how Tekton's webhook refuses every change of a run that has ended.
const finished = "Once the PipelineRun is complete"

// conflicts is how long we insist while others write the same object.
var conflicts = wait.Backoff{Steps: 6, Duration: 20 * time.Millisecond, Factor: 2, Jitter: 0.2}

// Cancel asks a PipelineRun to end. Class: by precondition; one that has ended, or is gone, is no error.
func (c *Client) Cancel(ctx context.Context, r kovra.ClusterRef) error {
	ctx, cancel := c.within(ctx)
	defer cancel()
	ns := c.namespace(r.Namespace)
	err := retry.OnError(conflicts, apierrors.IsConflict, func() error {
		_, err := c.tekton.PipelineRuns(ns).Patch(ctx, r.Name, types.MergePatchType, []byte(cancelPatch), metav1.PatchOptions{})
		return err
	})
	if apierrors.IsNotFound(err) || err != nil && strings.Contains(err.Error(), finished) {
		return nil
	}
	return pipelineRun("patch", ns, r.Name).judge(err)
}

// Look is what the cluster knows of a PipelineRun now; an error of kind NotFound when it has none.
func (c *Client) Look(ctx context.Context, r kovra.ClusterRef) (kovra.ClusterRun, error) {
	ctx, cancel := c.within(ctx)
	defer cancel()
	s, err := c.see(ctx, r)
	if err != nil {
		return kovra.ClusterRun{}, err
	}
	if err := c.seeTasks(ctx, s); err != nil {
		return kovra.ClusterRun{}, err
	}
	if err := c.seePods(ctx, s); err != nil {
		return kovra.ClusterRun{}, err
	}
	return s.describe(), nil
}

// see reads a PipelineRun and its TaskRuns.
func (c *Client) see(ctx context.Context, r kovra.ClusterRef) (*sight, error) {
	ns := c.namespace(r.Namespace)
	run, err := c.tekton.PipelineRuns(ns).Get(ctx, r.Name, metav1.GetOptions{})
	if err != nil {
		return nil, pipelineRun("get", ns, r.Name).judge(err)
	}
	// By the unique id: an earlier run of the name may still have TaskRuns.
	list, err := c.tekton.TaskRuns(ns).List(ctx, metav1.ListOptions{
		LabelSelector: fmt.Sprintf("%s=%s", pipeline.PipelineRunUIDLabelKey, run.UID),
	})
	if err != nil {
		return nil, call{verb: "list", resource: "taskruns", noun: "TaskRun", ns: ns}.judge(err)
	}
	return newSight(run, list.Items), nil
}
