package dispatch

import (
	"context"
	"slices"
	"strings"

	"kovra.dev/chatops/internal/kovra"
)

// target looks at the Deployment that an image is to be deployed to, and names its container if it was left out. One
// that belongs to somebody else is refused, unless that is allowed. One that we may not see is left to the cluster.
func (d *Dispatch) target(ctx context.Context, t kovra.DeployTarget, allowManaged bool) (kovra.DeployTarget, kovra.TargetState, error) {
	state, err := d.world.Targets.Target(ctx, t)
	switch {
	case kovra.KindOf(err) == kovra.Denied:
		return t, kovra.TargetState{}, nil
	case err != nil:
		return t, state, err
	case state.Owner != "" && !allowManaged:
		return t, state, kovra.Errorf(kovra.Conflict,
			"The Deployment %s belongs to %s, which would undo the change. Deploy it there, or allow it in the settings of builds.", t.Name(), state.Owner)
	}
	switch {
	case t.Container != "":
		if len(state.Containers) == 0 || slices.Contains(state.Containers, t.Container) {
			return t, state, nil
		}
		return t, state, kovra.Errorf(kovra.Conflict, "The Deployment %s has no container %q; it has %s.", t.Name(), t.Container, strings.Join(state.Containers, ", "))
	case len(state.Containers) == 1:
		t.Container = state.Containers[0]
		return t, state, nil
	}
	return t, state, kovra.Errorf(kovra.Conflict, "The Deployment %s has %d containers (%s): say in the settings of builds which one.",
		t.Name(), len(state.Containers), strings.Join(state.Containers, ", "))
}
