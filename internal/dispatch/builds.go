package dispatch

import (
	"context"
	"time"

	"kovra.dev/chatops/internal/kovra"
)

// Builds brings builds from our queue to their end on the cluster.
type Builds struct{ *Dispatch }

// Builds returns the reconciler of builds ([kovra.RefBuild]); its key is the number of the build.
func (d *Dispatch) Builds() Builds { return Builds{d} }

// Reconcile brings one build nearer to its end.
func (b Builds) Reconcile(context.Context, int64) (time.Duration, error) { return 0, nil }

// Overdue returns what has to be looked at though no notice may have told of it: builds and deployments under way
// of which nothing was heard for Options.LookAgain, and step logs that are not whole. The sweep reminds the loops of them, at the start too.
func (d *Dispatch) Overdue(context.Context) ([]kovra.Ref, error) { return nil, nil }
