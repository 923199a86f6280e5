package dispatch

import (
	"context"
	"time"
)

// Deployments brings deployments to their end, one at a time for each target.
type Deployments struct{ *Dispatch }

// Deployments returns the reconciler of deployments ([kovra.RefDeployment]); its key is their id.
func (d *Dispatch) Deployments() Deployments { return Deployments{d} }

// Reconcile brings one deployment nearer to its end.
func (d Deployments) Reconcile(context.Context, int64) (time.Duration, error) { return 0, nil }
