package webhooks

import (
	"cmp"
	"errors"
	"strings"
	"time"

	"kovra.dev/chatops/internal/kovra"
)

// jobHook is the body of a job event: object_kind "build", in old versions "job"
// with keys of their own.
type jobHook struct {
	Ref      text   `json:"ref"`
	Tag      flag   `json:"tag"`
	SHA      text   `json:"sha"`
	Pipeline number `json:"pipeline_id"`

	ID            number  `json:"build_id"`
	Name          text    `json:"build_name"`
	Stage         text    `json:"build_stage"`
	Status        word    `json:"build_status"`
	CreatedAt     moment  `json:"build_created_at"`
	StartedAt     moment  `json:"build_started_at"`
	FinishedAt    moment  `json:"build_finished_at"`
	CreatedAtISO  moment  `json:"build_created_at_iso"`
	StartedAtISO  moment  `json:"build_started_at_iso"`
	FinishedAtISO moment  `json:"build_finished_at_iso"`
	Duration      seconds `json:"build_duration"`
	AllowFailure  flag    `json:"build_allow_failure"`
	FailureReason text    `json:"build_failure_reason"`

	OldID            number  `json:"job_id"`
	OldName          text    `json:"job_name"`
	OldStage         text    `json:"job_stage"`
	OldStatus        word    `json:"job_status"`
	OldCreatedAt     moment  `json:"job_created_at"`
	OldStartedAt     moment  `json:"job_started_at"`
	OldFinishedAt    moment  `json:"job_finished_at"`
	OldDuration      seconds `json:"job_duration"`
	OldAllowFailure  flag    `json:"job_allow_failure"`
	OldFailureReason text    `json:"job_failure_reason"`

	Commit struct {
		ID      number `json:"id"` // of the pipeline, not of the commit
		Message text   `json:"message"`
	} `json:"commit"`
	Project project        `json:"project"`
	Source  sourcePipeline `json:"source_pipeline"`
}

// mergeRequestRef begins the ref that job events of merge request pipelines tell
// instead of the source branch.
const mergeRequestRef = "refs/merge-requests/"

// decodeJob reads a job event; all that it cannot do without is the ids of job and pipeline.
func decodeJob(body []byte, h *hook) error {
	var j jobHook
	if err := tolerantly(body, &j); err != nil {
		return err // unreachable: the envelope was read from the same bytes
	}
	id, pipeline := int64(cmp.Or(j.ID, j.OldID)), int64(cmp.Or(j.Pipeline, j.Commit.ID))
	if id <= 0 {
		return errors.New("the job's id is missing")
	}
	if pipeline <= 0 {
		return errors.New("the id of the job's pipeline is missing")
	}
	h.seen = &kovra.Observation{Run: j.run(h.project, pipeline), Jobs: []kovra.Job{j.job(id)}}
	return nil
}

// run is what a job knows of its pipeline. The status in the event lags behind, and
// its user is who started the job, so both are left out.
func (j *jobHook) run(project, pipeline int64) kovra.Run {
	r := kovra.Run{
		Project: project, Remote: pipeline, Ref: string(j.Ref), Tag: bool(j.Tag), SHA: string(j.SHA),
		Title: kovra.FirstLine(string(j.Commit.Message)), Parent: j.Source.parent(),
	}
	if strings.HasPrefix(r.Ref, mergeRequestRef) {
		r.Ref = "" // the pipeline's own event tells the branch
	}
	r.Protected = protected(&r, &j.Project)
	return r
}

func (j *jobHook) job(id int64) kovra.Job {
	status := kovra.Status(cmp.Or(j.Status, j.OldStatus))
	return kovra.Job{
		ID: id, Name: string(cmp.Or(j.Name, j.OldName)), Stage: string(cmp.Or(j.Stage, j.OldStage)), Status: status,
		AllowFailure:  bool(j.AllowFailure || j.OldAllowFailure),
		Manual:        status == kovra.Manual,
		FailureReason: failureReason(status, cmp.Or(j.FailureReason, j.OldFailureReason)),
		CreatedAt:     firstTime(j.CreatedAtISO, j.CreatedAt, j.OldCreatedAt),
		StartedAt:     firstTime(j.StartedAtISO, j.StartedAt, j.OldStartedAt),
		FinishedAt:    firstTime(j.FinishedAtISO, j.FinishedAt, j.OldFinishedAt),
		Duration:      time.Duration(cmp.Or(j.Duration, j.OldDuration)),
		URL:           j.Project.page("jobs", id),
	}
}

// firstTime returns the first moment that was told.
func firstTime(of ...moment) time.Time {
	for _, m := range of {
		if t := time.Time(m); !t.IsZero() {
			return t
		}
	}
	return time.Time{}
}
