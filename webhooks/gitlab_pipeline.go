package webhooks

import (
	"errors"
	"time"

	"kovra.dev/chatops/internal/kovra"
)

// pipelineHook is the body of a pipeline event. Its variables are left out on
// purpose: they may hold secrets.
type pipelineHook struct {
	Attributes struct {
		ID         number     `json:"id"`
		IID        number     `json:"iid"`
		Name       text       `json:"name"`
		Ref        text       `json:"ref"`
		Tag        flag       `json:"tag"`
		SHA        text       `json:"sha"`
		Source     word       `json:"source"`
		Status     word       `json:"status"`
		Stages     list[text] `json:"stages"`
		CreatedAt  moment     `json:"created_at"`
		FinishedAt moment     `json:"finished_at"`
		Duration   seconds    `json:"duration"`
		URL        link       `json:"url"`
		Protected  flag       `json:"protected_ref"` // not told by old versions
	} `json:"object_attributes"`
	MergeRequest struct {
		IID    number `json:"iid"`
		Title  text   `json:"title"`
		URL    link   `json:"url"`
		Target text   `json:"target_branch"`
	} `json:"merge_request"`
	User    user    `json:"user"`
	Project project `json:"project"`
	Commit  struct {
		Message text `json:"message"`
		Author  struct {
			Name text `json:"name"`
		} `json:"author"`
	} `json:"commit"`
	Builds []build        `json:"builds"`
	Source sourcePipeline `json:"source_pipeline"`
}

// build is a job inside a pipeline event. Only the newest attempt of each is told,
// and trigger jobs never are.
type build struct {
	ID            number  `json:"id"`
	Name          text    `json:"name"`
	Stage         text    `json:"stage"`
	Status        word    `json:"status"`
	When          word    `json:"when"`
	Manual        flag    `json:"manual"`
	AllowFailure  flag    `json:"allow_failure"`
	FailureReason text    `json:"failure_reason"`
	CreatedAt     moment  `json:"created_at"`
	StartedAt     moment  `json:"started_at"`
	FinishedAt    moment  `json:"finished_at"`
	Duration      seconds `json:"duration"`
}

// decodePipeline reads a pipeline event; all that it cannot do without is the id.
func decodePipeline(body []byte, h *hook) error {
	var p pipelineHook
	if err := tolerantly(body, &p); err != nil {
		return err // unreachable: the envelope was read from the same bytes
	}
	if p.Attributes.ID <= 0 {
		return errors.New("the pipeline's id is missing")
	}
	jobs := make([]kovra.Job, 0, len(p.Builds))
	for i := range p.Builds {
		if p.Builds[i].ID > 0 {
			jobs = append(jobs, p.Builds[i].job(&p.Project))
		}
	}
	h.seen = &kovra.Observation{Run: p.run(h.project), Jobs: jobs}
	return nil
}

func (p *pipelineHook) run(project int64) kovra.Run {
	a := &p.Attributes
	status := kovra.Status(a.Status)
	r := kovra.Run{
		Project: project, Remote: int64(a.ID), IID: int64(a.IID), Name: string(a.Name),
		Ref: string(a.Ref), Tag: bool(a.Tag), SHA: string(a.SHA), Source: string(a.Source), Status: status,
		Title:     kovra.FirstLine(string(p.Commit.Message)),
		By:        p.User.person(),
		Author:    kovra.GitLabUser{Name: string(p.Commit.Author.Name)},
		CreatedAt: time.Time(a.CreatedAt),
		MR: kovra.MergeRequest{
			IID: int64(p.MergeRequest.IID), Title: string(p.MergeRequest.Title),
			URL: string(p.MergeRequest.URL), Target: string(p.MergeRequest.Target),
		},
		Parent: p.Source.parent(),
		URL:    string(a.URL),
	}
	r.FinishedAt, r.Duration = endOf(status, a.FinishedAt, a.Duration)
	for _, s := range a.Stages {
		if s != "" {
			r.Stages = append(r.Stages, string(s))
		}
	}
	if r.URL == "" {
		r.URL = p.Project.page("pipelines", r.Remote)
	}
	r.Protected = protected(&r, &p.Project) || bool(a.Protected) && r.Kind() != "merge_request"
	return r
}

// protected reports whether the run is of a tag or of the default branch. The ref of
// a merge request's pipeline is its source branch, which in a fork may have the same name.
func protected(r *kovra.Run, p *project) bool {
	if r.Kind() == "merge_request" {
		return false
	}
	return r.Tag || r.Ref != "" && r.Ref == string(p.DefaultBranch)
}

func (b *build) job(p *project) kovra.Job {
	status := kovra.Status(b.Status)
	return kovra.Job{
		ID: int64(b.ID), Name: string(b.Name), Stage: string(b.Stage), Status: status,
		AllowFailure:  bool(b.AllowFailure),
		Manual:        bool(b.Manual) || b.When == "manual" || status == kovra.Manual,
		FailureReason: failureReason(status, b.FailureReason),
		CreatedAt:     time.Time(b.CreatedAt), StartedAt: time.Time(b.StartedAt), FinishedAt: time.Time(b.FinishedAt),
		Duration: time.Duration(b.Duration),
		URL:      p.page("jobs", int64(b.ID)),
	}
}
