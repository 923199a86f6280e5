package dispatch

import (
	"context"
	"time"
)

// StepLogPass is more than one pass of [StepLogs] takes. A pass lasts as long as the run whose steps it
// follows, so its loop needs a worker for each run that may be under way; it need not be given time when the program stops.
const StepLogPass = followFor + time.Minute

// followFor bounds one pass; the next one reads on.
const followFor = 30 * time.Minute

// StepLogs keeps what the steps of builds and deployments write, while they write it.
type StepLogs struct{ *Dispatch }

// StepLogs returns the reconciler of step logs ([kovra.RefStepLog]); its key is our id of the log. A pass may take as long as
// [StepLogPass].
func (d *Dispatch) StepLogs() StepLogs { return StepLogs{d} }

// Reconcile follows the steps of one run until it has ended.
func (s StepLogs) Reconcile(context.Context, int64) (time.Duration, error) { return 0, nil }
