package kovra

// Status is GitLab's own word for the state of a pipeline or a job. A word that
// is not known here (a newer GitLab) is kept and shown as it is.
type Status string

// The words that GitLab uses for pipelines and jobs alike.
const (
	Created            Status = "created"
	WaitingForResource Status = "waiting_for_resource"
	WaitingForCallback Status = "waiting_for_callback"
	Preparing          Status = "preparing"
	Manual             Status = "manual"
	Scheduled          Status = "scheduled"
	Pending            Status = "pending"
	Running            Status = "running"
	Canceling          Status = "canceling"
	Success            Status = "success"
	Failed             Status = "failed"
	Canceled           Status = "canceled"
	Skipped            Status = "skipped"
)

// ranks is the one total order of progress. Words of the same rank exclude each other.
var ranks = map[Status]int{
	Created:            1,
	WaitingForCallback: 2,
	Preparing:          3,
	Manual:             4,
	Scheduled:          5,
	WaitingForResource: 6,
	Pending:            7,
	Running:            8,
	Canceling:          9,
	Success:            10,
	Failed:             10,
	Canceled:           10,
	Skipped:            10,
}

// Rank is the place of the word in the order of progress; 0 for an unknown word.
func (s Status) Rank() int { return ranks[s] }

// Known reports whether the word is one that this version understands.
func (s Status) Known() bool { return ranks[s] > 0 }

// Final reports whether nothing moves any more. A final pipeline may still come
// back to life: somebody retries it or plays a manual job.
func (s Status) Final() bool { return ranks[s] == ranks[Success] }

// Active reports whether something is on its way by itself (or waits for a
// runner): neither final, nor blocked on a person.
func (s Status) Active() bool {
	return s == WaitingForResource || s == WaitingForCallback || s == Preparing ||
		s == Pending || s == Running || s == Canceling
}

// Shown is one of the words that people see (PRODUCT.md section 4).
type Shown string

// What people see.
const (
	ShownPending  Shown = "Pending"
	ShownRunning  Shown = "Running"
	ShownSuccess  Shown = "Success"
	ShownFailed   Shown = "Failed"
	ShownCanceled Shown = "Canceled"
	ShownSkipped  Shown = "Skipped"
)

// Shown maps GitLab's word to the one that people see. An unknown word is shown as it is.
func (s Status) Shown() Shown {
	switch s {
	case Created, WaitingForResource, WaitingForCallback, Preparing, Pending, Scheduled, Manual:
		return ShownPending
	case Running, Canceling:
		return ShownRunning
	case Success:
		return ShownSuccess
	case Failed:
		return ShownFailed
	case Canceled:
		return ShownCanceled
	case Skipped:
		return ShownSkipped
	default:
		return Shown(s)
	}
}

// Exact is GitLab's word where it tells more than [Status.Shown] does, else "".
func (s Status) Exact() string {
	switch s {
	case Manual, Scheduled, Canceling, WaitingForResource, Preparing, WaitingForCallback:
		return string(s)
	default:
		return ""
	}
}

// CanCancel reports whether Cancel is offered: Pending or Running, but not already canceling.
func (s Status) CanCancel() bool {
	return s.Known() && !s.Final() && s != Canceling
}

// CanRetry reports whether Retry is offered.
func (s Status) CanRetry() bool { return s == Failed || s == Canceled }
