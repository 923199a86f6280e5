package kovra

import (
	"cmp"
	"slices"
	"time"
)

// Observation is what somebody saw of a pipeline: a webhook, or a re-read of the
// API. Zero values mean "not told", except where Whole says that all was told.
type Observation struct {
	Run  Run   // Project and Remote are set
	Jobs []Job // as many as were told
	// Whole marks a re-read through the API: it is the truth of its moment and
	// replaces what is known. A webhook is only a hint.
	Whole bool
	// Base is, for a re-read, the version that the run had before GitLab was
	// asked. If hooks changed the run meanwhile the re-read is taken as a hint.
	Base int64
	At   time.Time // when it was seen, by our clock
	// Listed marks a pipeline as a list tells of it, without its jobs: that it is as it was says nothing of them.
	Listed bool
}

// Seen is what an observation changed.
type Seen struct {
	Run     bool    // a field of the run changed
	Jobs    []int64 // the jobs that are new or changed, by id
	Results []int   // indexes into Run.Results that are new
}

// Changed reports whether anything did.
func (s Seen) Changed() bool { return s.Run || len(s.Jobs) > 0 }

// Observe folds o into the run and its jobs (all attempts, by id; changed in
// place). Any order and repetition of the same hooks ends in the same state, or in
// a state that is marked stale, and one whole re-read then ends it: this is what
// lets webhooks arrive as they like.
func (r *Run) Observe(jobs map[int64]Job, o Observation) Seen {
	o.Run.FinishedAt = o.Run.FinishedAt.Truncate(time.Second) // hooks tell whole seconds, the API fractions
	whole := o.Whole && o.Base == r.Version
	old := *r
	if whole {
		r.Stale = false
	}
	var seen Seen
	facts := r.takeFacts(o.Run, whole)
	status := r.takeStatus(o.Run, whole)
	for _, j := range o.Jobs {
		if r.takeJob(jobs, j, whole) {
			seen.Jobs = append(seen.Jobs, j.ID)
		}
	}
	r.takeResult(o.Run, whole, &seen)
	switch {
	case whole:
		r.Read, r.ReadResults, r.UpdatedAt = true, len(r.Results), o.Run.UpdatedAt
	case o.Whole || r.contradicts(jobs) || r.endsUnseen(old.Status, o.Run):
		r.Stale = true
	}
	seen.Run = facts || status || len(seen.Results) > 0 || r.Status != old.Status || r.Stale != old.Stale ||
		r.Read != old.Read || r.ReadResults != old.ReadResults || !r.UpdatedAt.Equal(old.UpdatedAt)
	return seen
}

// endsUnseen reports whether the run is said to have ended without saying when: a
// list of pipelines, or a pipeline that never ran. Its end is read from GitLab.
func (r *Run) endsUnseen(before Status, o Run) bool {
	return o.Status.Final() && o.Status != before && o.FinishedAt.IsZero()
}

// takeResult notes an end, once. An end without a time counts only when GitLab's API says so.
func (r *Run) takeResult(o Run, whole bool, seen *Seen) {
	if !o.Status.Final() || o.FinishedAt.IsZero() && !whole {
		return
	}
	n := Result{FinishedAt: o.FinishedAt, Status: o.Status, Duration: o.Duration}
	if !r.addResult(n) {
		return
	}
	for i := range r.Results {
		if r.Results[i].FinishedAt.Equal(n.FinishedAt) {
			seen.Results = append(seen.Results, i)
		}
	}
}

// takeStatus applies the order of progress to the run's own word. It reports
// whether it set a field other than the word.
func (r *Run) takeStatus(o Run, whole bool) bool {
	switch {
	case o.Status == "":
		return false
	case whole:
		return r.setStatus(o)
	case o.Status == r.Status:
		if o.Status.Final() && o.FinishedAt.After(r.FinishedAt) {
			return r.setStatus(o)
		}
		return false
	case r.Status == "":
		return r.setStatus(o)
	case !o.Status.Known() || !r.Status.Known(), r.Status.Final(), placeless(o.Status), placeless(r.Status):
		// The word cannot be placed against what we have: a retry, a manual gate
		// that opened or closed, a word of a newer GitLab. GitLab knows.
		r.Stale = true
	}
	if o.Status.Rank() > r.Status.Rank() {
		return r.setStatus(o)
	}
	return false
}

func (r *Run) setStatus(o Run) bool {
	changed := !r.FinishedAt.Equal(o.FinishedAt)
	r.Status, r.FinishedAt = o.Status, o.FinishedAt
	if o.Duration != 0 && o.Duration != r.Duration {
		r.Duration, changed = o.Duration, true
	}
	return changed
}

// placeless words may come before and after running: a pipeline stops at a
// manual gate and goes on when somebody opens it.
func placeless(s Status) bool {
	return s == Manual || s == Scheduled || s == WaitingForResource || s == WaitingForCallback
}

// takeJob applies the order of progress to one job. A job id lives once, except
// that a skipped job comes back under its old id when its pipeline is retried.
func (r *Run) takeJob(jobs map[int64]Job, n Job, whole bool) bool {
	old, known := jobs[n.ID]
	if !known {
		n.Run, n.Project = r.ID, r.Project
		n.Log, n.Excerpt = LogUnread, Excerpt{}
		jobs[n.ID] = n
		return true
	}
	merged := mergeJob(old, n)
	switch {
	case whole || n.Status.Rank() > old.Status.Rank() || !old.Status.Known():
		merged.Status, merged.FailureReason = n.Status, n.FailureReason
	case n.Status != old.Status && (old.Status == Skipped || n.Status.Final() || !n.Status.Known()):
		r.Stale = true
		merged.Status, merged.FailureReason = old.Status, old.FailureReason
	default:
		merged.Status, merged.FailureReason = old.Status, cmp.Or(old.FailureReason, sameStatus(old, n))
	}
	if jobsEqual(merged, old) {
		return false
	}
	jobs[n.ID] = merged
	return true
}

func sameStatus(old, n Job) string {
	if old.Status == n.Status {
		return n.FailureReason
	}
	return ""
}

// mergeJob takes what n tells over old, and keeps what n does not tell.
func mergeJob(old, n Job) Job {
	m := old
	setString(&m.Name, n.Name)
	setString(&m.Stage, n.Stage)
	setString(&m.URL, n.URL)
	setTime(&m.CreatedAt, n.CreatedAt)
	setTime(&m.StartedAt, n.StartedAt)
	setTime(&m.FinishedAt, n.FinishedAt)
	m.Duration = max(m.Duration, n.Duration)
	m.AllowFailure = m.AllowFailure || n.AllowFailure
	m.Manual = m.Manual || n.Manual
	m.Bridge = m.Bridge || n.Bridge
	if n.Downstream.Pipeline != 0 {
		m.Downstream = n.Downstream
	}
	return m
}

func jobsEqual(a, b Job) bool {
	return a.Name == b.Name && a.Stage == b.Stage && a.Status == b.Status && a.AllowFailure == b.AllowFailure &&
		a.Manual == b.Manual && a.FailureReason == b.FailureReason && a.Duration == b.Duration && a.URL == b.URL &&
		a.Bridge == b.Bridge && a.Downstream == b.Downstream &&
		a.CreatedAt.Equal(b.CreatedAt) && a.StartedAt.Equal(b.StartedAt) && a.FinishedAt.Equal(b.FinishedAt)
}

// takeFacts takes what does not change in the life of a pipeline, or only grows.
func (r *Run) takeFacts(o Run, whole bool) bool {
	old := *r
	if r.Ref == "" || whole {
		setString(&r.Ref, o.Ref)
		r.Tag = r.Tag || o.Tag
	}
	setInt(&r.IID, o.IID)
	setString(&r.Name, o.Name)
	setString(&r.SHA, o.SHA)
	setString(&r.Source, o.Source)
	setString(&r.Title, o.Title)
	setString(&r.URL, o.URL)
	setTime(&r.CreatedAt, o.CreatedAt)
	setTime(&r.StartedAt, o.StartedAt)
	if o.By.Username != "" {
		r.By = o.By
	}
	if o.Author.Name != "" || o.Author.Username != "" {
		r.Author = o.Author
	}
	setInt(&r.MR.IID, o.MR.IID)
	setString(&r.MR.Title, o.MR.Title)
	setString(&r.MR.URL, o.MR.URL)
	setString(&r.MR.Target, o.MR.Target)
	if o.Parent.Pipeline != 0 {
		r.Parent = o.Parent
	}
	r.Protected = r.Protected || o.Protected
	if len(o.Stages) > 0 && !slices.Equal(r.Stages, o.Stages) {
		r.Stages = o.Stages
	}
	return !factsEqual(old, *r)
}

func factsEqual(a, b Run) bool {
	return a.IID == b.IID && a.Name == b.Name && a.Ref == b.Ref && a.Tag == b.Tag && a.SHA == b.SHA &&
		a.Source == b.Source && a.Title == b.Title && a.URL == b.URL && a.By == b.By && a.Author == b.Author &&
		a.MR == b.MR && a.Parent == b.Parent && a.Protected == b.Protected && slices.Equal(a.Stages, b.Stages) &&
		a.CreatedAt.Equal(b.CreatedAt) && a.StartedAt.Equal(b.StartedAt)
}

// contradicts reports whether the run is said to be over while one of its jobs still moves.
func (r *Run) contradicts(jobs map[int64]Job) bool {
	if !r.Status.Final() {
		return false
	}
	newest := map[string]Job{}
	for _, j := range jobs {
		if j.ID >= newest[j.Name].ID {
			newest[j.Name] = j
		}
	}
	for _, j := range newest {
		if j.Status.Active() {
			return true
		}
	}
	return false
}

func setString(dst *string, v string) {
	if v != "" {
		*dst = v
	}
}

func setInt(dst *int64, v int64) {
	if v != 0 {
		*dst = v
	}
}

// setTime takes a told time. A hook's time has whole seconds, the API's has
// fractions: the finer one stays, so that the two never take turns.
func setTime(dst *time.Time, v time.Time) {
	if v.IsZero() || v.Truncate(time.Second).Equal(dst.Truncate(time.Second)) {
		return
	}
	*dst = v
}
