package gitlabsim

import "slices"

// Statuses of jobs and pipelines that the simulator uses.
const (
	statusCreated   = "created"
	statusPending   = "pending"
	statusRunning   = "running"
	statusSuccess   = "success"
	statusFailed    = "failed"
	statusCanceling = "canceling"
	statusCanceled  = "canceled"
	statusSkipped   = "skipped"
	statusManual    = "manual"
)

var (
	finalStatuses = []string{statusSuccess, statusFailed, statusCanceled, statusSkipped}
	jobStatuses   = []string{
		statusCreated, "waiting_for_resource", "preparing", "waiting_for_callback", statusPending, statusRunning, statusSuccess,
		statusFailed, statusCanceling, statusCanceled, statusSkipped, statusManual, "scheduled",
	}
)

func final(status string) bool { return slices.Contains(finalStatuses, status) }

// Two words that only the computation knows: a failure that is allowed, and a manual job that nobody has to start.
const (
	withWarnings = "success_with_warnings"
	ignored      = "ignored"
)

// composite computes the status of a stage, of all earlier stages or of a pipeline from the latest attempts of its jobs, in the order
// in which GitLab asks its questions. No jobs give "".
func composite(jobs []*job) string {
	seen := map[string]bool{}
	for _, j := range jobs {
		switch {
		case j.spec.AllowFailure && (j.status == statusFailed || j.status == statusCanceled):
			seen[withWarnings] = true
		case j.spec.AllowFailure && j.status == statusManual:
			seen[ignored] = true
		default:
			seen[j.status] = true
		}
	}
	only := func(words ...string) bool {
		for word := range seen {
			if !slices.Contains(words, word) {
				return false
			}
		}
		return true
	}
	switch {
	case len(seen) == 0:
		return ""
	case only(statusSkipped, ignored):
		return statusSkipped
	case only(statusSuccess, statusSkipped, withWarnings, ignored):
		return statusSuccess
	case only(statusCreated, withWarnings, ignored):
		return statusCreated
	case only(statusCanceled, statusSuccess, statusSkipped, withWarnings, ignored):
		return statusCanceled
	case only(statusPending, statusCreated, statusSkipped, withWarnings, ignored):
		return statusPending
	case seen[statusRunning] || seen[statusPending]:
		return statusRunning
	case seen[statusCanceling]:
		return statusCanceling
	case seen[statusManual]:
		return statusManual
	case seen[statusCreated]:
		return statusRunning
	default:
		return statusFailed
	}
}

// label is what the interface calls a pipeline status; hooks carry it as detailed_status.
func (p *pipeline) label() string {
	switch p.status {
	case statusSuccess:
		for _, j := range p.latest() {
			if j.spec.AllowFailure && j.status == statusFailed {
				return "passed with warnings"
			}
		}
		return "passed"
	case statusManual:
		return "waiting for manual action"
	default:
		return p.status
	}
}
