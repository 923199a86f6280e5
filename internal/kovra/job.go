package kovra

import (
	"cmp"
	"slices"
	"time"
)

// Job is one attempt at a job: a retried job is a new one with a higher id.
type Job struct {
	ID      int64 `json:"-"` // GitLab's
	Project int64 `json:"-"`
	Run     int64 `json:"-"` // our id of the run

	Name          string        `json:"name"`
	Stage         string        `json:"stage"`
	Status        Status        `json:"status"`
	AllowFailure  bool          `json:"allow_failure,omitempty"`
	Manual        bool          `json:"manual,omitempty"`
	FailureReason string        `json:"failure_reason,omitempty"` // GitLab's word; "" unless failed
	CreatedAt     time.Time     `json:"created_at,omitzero"`
	StartedAt     time.Time     `json:"started_at,omitzero"`
	FinishedAt    time.Time     `json:"finished_at,omitzero"`
	Duration      time.Duration `json:"duration,omitempty"`
	URL           string        `json:"url,omitempty"`

	// Bridge marks a trigger job; Downstream is what it started.
	Bridge     bool       `json:"bridge,omitempty"`
	Downstream Downstream `json:"downstream,omitzero"`

	// Log says what became of the excerpt of a failed job.
	Log     LogState `json:"log,omitempty"`
	Excerpt Excerpt  `json:"excerpt,omitzero"`

	// LogURL is the page of our viewer that shows the whole log, the same for the same
	// job; "" where there is no viewer.
	LogURL string `json:"-"`
}

// LogKey names the log of the job.
func (j *Job) LogKey() LogKey { return LogKey{Kind: JobLog, Project: j.Project, ID: j.ID} }

// Downstream is the pipeline that a trigger job started.
type Downstream struct {
	Project  int64  `json:"project,omitempty"`
	Pipeline int64  `json:"pipeline,omitempty"`
	Status   Status `json:"status,omitempty"`
	URL      string `json:"url,omitempty"`
}

// LogState says what became of the excerpt of a failed job.
type LogState string

// The states of an excerpt.
const (
	LogUnread LogState = ""       // nobody has looked yet
	LogCut    LogState = "cut"    // the excerpt is in place; it may be empty, for an empty log
	LogFolded LogState = "folded" // GitLab retried the job by itself before anybody was told
	LogGone   LogState = "gone"   // GitLab would not give the log; Excerpt.Note says why
)

// Excerpt is the few lines of a log that explain a failure.
type Excerpt struct {
	Lines []ExcerptLine `json:"lines,omitempty"`
	Total int           `json:"total,omitempty"` // lines in the whole log
	First int           `json:"first,omitempty"` // the line that a viewer should open at
	Note  string        `json:"note,omitempty"`  // why there is no excerpt
}

// ExcerptLine is a numbered line, or, when Hidden > 0, a mark for lines left out.
type ExcerptLine struct {
	N      int    `json:"n,omitempty"`
	Text   string `json:"text,omitempty"`
	Hidden int    `json:"hidden,omitempty"`
}

// Counts reports whether a failure of this job fails the pipeline.
func (j *Job) Counts() bool { return !j.AllowFailure }

// CurrentJobs returns, of all attempts, the newest one of every name, ordered by
// stage (as stages lists them; unknown stages last, by first job id) and then by
// name. Attempts of the same name are told apart by their ids alone.
func CurrentJobs(stages []string, all []Job) []Job {
	newest := map[string]Job{}
	for _, j := range all {
		if old, ok := newest[j.Name]; !ok || j.ID > old.ID {
			newest[j.Name] = j
		}
	}
	place := stageOrder(stages, all)
	out := make([]Job, 0, len(newest))
	for _, j := range newest {
		out = append(out, j)
	}
	slices.SortFunc(out, func(a, b Job) int {
		return cmp.Or(cmp.Compare(place[a.Stage], place[b.Stage]), cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	return out
}

// stageOrder numbers the stages: the known ones first, the others by the lowest job id in them.
func stageOrder(stages []string, all []Job) map[string]int64 {
	place := map[string]int64{}
	for i, s := range stages {
		place[s] = int64(i) - int64(len(stages))
	}
	for _, j := range all {
		if p, ok := place[j.Stage]; !ok || p > j.ID {
			place[j.Stage] = j.ID
		}
	}
	return place
}

// Successor returns the next attempt at the same job, if there is one.
func Successor(j Job, all []Job) (Job, bool) {
	var next Job
	for _, o := range all {
		if o.Name == j.Name && o.Run == j.Run && o.ID > j.ID && (next.ID == 0 || o.ID < next.ID) {
			next = o
		}
	}
	return next, next.ID != 0
}

// FailedJobs returns the ids of the current jobs that a retry of the pipeline
// runs again: failed (also those allowed to fail) and canceled ones.
func FailedJobs(all []Job) []int64 {
	var ids []int64
	for _, j := range CurrentJobs(nil, all) {
		if j.Status == Failed || j.Status == Canceled {
			ids = append(ids, j.ID)
		}
	}
	slices.Sort(ids)
	return ids
}
