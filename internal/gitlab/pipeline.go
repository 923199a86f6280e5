package gitlab

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	gl "gitlab.com/gitlab-org/api/client-go/v2"

	"kovra.dev/chatops/internal/kovra"
)

const (
	jobPages         = 50 // 5,000 jobs, far above GitLab's own limit for a pipeline
	parentCandidates = 10
	refFresh         = 10 * time.Minute // for so long a branch is taken to be as protected as it was
)

var mergeRequestRef = regexp.MustCompile(`^refs/merge-requests/([0-9]+)/(head|merge|train)$`)

type (
	pipelineKey struct{ project, pipeline int64 }
	commitKey   struct {
		project int64
		sha     string
	}
	commit struct{ title, author string }
	refKey struct {
		project int64
		ref     string
	}
	branch struct {
		protected bool
		at        time.Time
	}
)

// Pipeline reads a pipeline whole: itself, all attempts at all jobs, and its trigger
// jobs. News of the default branch, protected ones and tags matter most; Protected tells. At and Base of the
// observation are left to the caller. Commit, merge request and parent are read
// where GitLab gives them; those that may not be seen are left out.
func (c *Client) Pipeline(ctx context.Context, projectID, id int64, defaultBranch string) (kovra.Observation, error) {
	// The pipeline comes first: what it says of itself is never newer than its jobs.
	p, err := fetch(ctx, c, call{doing: fmt.Sprintf("read pipeline %d", id), noun: fmt.Sprintf("pipeline %d", id)},
		func(o gl.RequestOptionFunc) (*gl.Pipeline, *gl.Response, error) {
			return c.gl.Pipelines.GetPipeline(projectID, id, o)
		})
	if err != nil {
		return kovra.Observation{}, err
	}
	jobs, err := c.jobs(ctx, projectID, id)
	if err != nil {
		return kovra.Observation{}, err
	}
	run := kovra.Run{
		Project: projectID, Remote: p.ID, IID: p.IID, Name: p.Name, Ref: p.Ref, Tag: p.Tag, SHA: p.SHA,
		Source: string(p.Source), Status: kovra.Status(p.Status), URL: p.WebURL, By: user(p.User),
		CreatedAt: when(p.CreatedAt), StartedAt: when(p.StartedAt), FinishedAt: when(p.FinishedAt), UpdatedAt: when(p.UpdatedAt),
		Duration: time.Duration(p.Duration) * time.Second, Stages: stages(jobs),
	}
	if err := c.placeRef(ctx, &run, defaultBranch); err != nil {
		return kovra.Observation{}, err
	}
	if run.Source == sourceChild {
		if run.Parent, err = c.parent(ctx, projectID, id, run.SHA); err != nil {
			return kovra.Observation{}, err
		}
	}
	known := c.commit(ctx, projectID, run.SHA)
	run.Title, run.Author.Name = known.title, known.author
	return kovra.Observation{Run: run, Jobs: jobs, Whole: true}, nil
}

// placeRef tells the pipelines of merge requests, whose ref is GitLab's own, from
// those of branches and tags.
func (c *Client) placeRef(ctx context.Context, run *kovra.Run, defaultBranch string) error {
	m := mergeRequestRef.FindStringSubmatch(run.Ref)
	if m == nil {
		run.Protected = run.Tag || (defaultBranch != "" && run.Ref == defaultBranch) || c.protected(ctx, run.Project, run.Ref)
		return nil
	}
	iid, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil {
		iid = 0 // so many digits name no merge request
	}
	run.Ref = ""
	run.MR = kovra.MergeRequest{IID: iid}
	if root, _, ok := strings.Cut(run.URL, "/-/"); ok {
		run.MR.URL = fmt.Sprintf("%s/-/merge_requests/%d", root, iid)
	}
	mr, err := fetch(ctx, c, call{doing: fmt.Sprintf("read merge request !%d", iid), noun: "such merge request"},
		func(o gl.RequestOptionFunc) (*gl.MergeRequest, *gl.Response, error) {
			return c.gl.MergeRequests.GetMergeRequest(run.Project, iid, nil, o)
		})
	if err != nil {
		return unlessUnseen(err)
	}
	run.Ref = mr.SourceBranch
	run.MR = kovra.MergeRequest{IID: iid, Title: mr.Title, URL: mr.WebURL, Target: mr.TargetBranch}
	return nil
}

// protected reports whether a branch is protected; that is remembered for a while. It
// decides on nothing but where news are shown: when it cannot be read it is taken for no.
func (c *Client) protected(ctx context.Context, projectID int64, ref string) bool {
	key := refKey{projectID, ref}
	if known, ok := c.refs.get(key); (ok && c.now().Sub(known.at) < refFresh) || ref == "" {
		return known.protected
	}
	b, err := fetch(ctx, c, call{doing: "read branch " + shorten(ref), noun: "such branch"},
		func(o gl.RequestOptionFunc) (*gl.Branch, *gl.Response, error) {
			return c.gl.Branches.GetBranch(projectID, ref, o)
		})
	if unlessUnseen(err) != nil {
		c.log.DebugContext(ctx, "branch not readable", "project", projectID, "err", err)
		return false
	}
	known := branch{protected: err == nil && b.Protected, at: c.now()}
	c.refs.put(key, known)
	return known.protected
}

// unlessUnseen drops the error about a detail that the token may not see: the next
// try would not see it either.
func unlessUnseen(err error) error {
	if kind := kovra.KindOf(err); kind == kovra.NotFound || kind == kovra.Denied {
		return nil
	}
	return err
}

// parent finds the pipeline whose trigger job started a child pipeline. GitLab's REST
// API tells it only from the other side; parent and child have the commit in common.
func (c *Client) parent(ctx context.Context, projectID, id int64, sha string) (kovra.Parent, error) {
	key := pipelineKey{projectID, id}
	if known, ok := c.parents.get(key); ok {
		return known, nil
	}
	var candidates []int64
	for _, source := range []*string{nil, new(sourceChild)} {
		opt := &gl.ListProjectPipelinesOptions{
			ListOptions: page(1), SHA: &sha, Source: source, OrderBy: new(byID), Sort: new(descending),
		}
		got, err := fetch(ctx, c, call{doing: listsPipelines, noun: "such project"},
			func(o gl.RequestOptionFunc) ([]*gl.PipelineInfo, *gl.Response, error) {
				return c.gl.Pipelines.ListProjectPipelines(projectID, opt, o)
			})
		if err != nil {
			return kovra.Parent{}, unlessUnseen(err)
		}
		for _, p := range got {
			if p.ID < id {
				candidates = append(candidates, p.ID)
			}
		}
	}
	slices.SortFunc(candidates, func(a, b int64) int { return cmp.Compare(b, a) })
	candidates = slices.Compact(candidates)
	for _, candidate := range candidates[:min(len(candidates), parentCandidates)] {
		bridges, err := c.bridges(ctx, projectID, candidate)
		if err != nil {
			return kovra.Parent{}, unlessUnseen(err)
		}
		for _, b := range bridges {
			if b.Downstream.Pipeline == id {
				found := kovra.Parent{Project: projectID, Pipeline: candidate, Job: b.ID}
				c.parents.put(key, found)
				return found, nil
			}
		}
	}
	return kovra.Parent{}, nil
}

// commit reads the title and author of a commit. They are an ornament: when they
// cannot be read they are left out.
func (c *Client) commit(ctx context.Context, projectID int64, sha string) commit {
	key := commitKey{projectID, sha}
	if known, ok := c.commits.get(key); ok || sha == "" {
		return known
	}
	got, err := fetch(ctx, c, call{doing: "read commit " + kovra.ShortSHA(sha), noun: "such commit"},
		func(o gl.RequestOptionFunc) (*gl.Commit, *gl.Response, error) {
			return c.gl.Commits.GetCommit(projectID, sha, nil, o)
		})
	if err != nil {
		c.log.DebugContext(ctx, "commit not readable", "project", projectID, "err", err)
		return commit{}
	}
	known := commit{title: cmp.Or(kovra.FirstLine(got.Message), got.Title), author: got.AuthorName}
	c.commits.put(key, known)
	return known
}

// jobs reads all attempts at all jobs of a pipeline, trigger jobs too, oldest first.
func (c *Client) jobs(ctx context.Context, projectID, pipeline int64) ([]kovra.Job, error) {
	what := call{doing: fmt.Sprintf("list the jobs of pipeline %d", pipeline), noun: fmt.Sprintf("pipeline %d", pipeline)}
	got, more, err := collect(ctx, c, what, jobPages, func(n int64, o gl.RequestOptionFunc) ([]*gl.Job, *gl.Response, error) {
		return c.gl.Jobs.ListPipelineJobs(projectID, pipeline, &gl.ListJobsOptions{ListOptions: page(n), IncludeRetried: new(true)}, o)
	})
	if err != nil {
		return nil, err
	}
	if more {
		c.log.WarnContext(ctx, "pipeline has more jobs than are read", "project", projectID, "run", pipeline)
	}
	all, err := c.bridges(ctx, projectID, pipeline)
	if unlessUnseen(err) != nil {
		return nil, err
	}
	for _, j := range got {
		all = append(all, job(projectID, j))
	}
	// Newest come first and may shift over the border of a page meanwhile.
	slices.SortFunc(all, func(a, b kovra.Job) int { return cmp.Compare(a.ID, b.ID) })
	return slices.CompactFunc(all, func(a, b kovra.Job) bool { return a.ID == b.ID }), nil
}

// bridges reads the trigger jobs of a pipeline.
func (c *Client) bridges(ctx context.Context, projectID, pipeline int64) ([]kovra.Job, error) {
	what := call{doing: fmt.Sprintf("list the trigger jobs of pipeline %d", pipeline), noun: fmt.Sprintf("pipeline %d", pipeline)}
	got, _, err := collect(ctx, c, what, jobPages, func(n int64, o gl.RequestOptionFunc) ([]*gl.Bridge, *gl.Response, error) {
		return c.gl.Jobs.ListPipelineBridges(projectID, pipeline, &gl.ListJobsOptions{ListOptions: page(n), IncludeRetried: new(true)}, o)
	})
	if err != nil {
		return nil, err
	}
	out := make([]kovra.Job, 0, len(got))
	for _, b := range got {
		out = append(out, bridge(projectID, b))
	}
	return out, nil
}

func job(projectID int64, j *gl.Job) kovra.Job {
	return kovra.Job{
		ID: j.ID, Project: projectID, Name: j.Name, Stage: j.Stage, Status: kovra.Status(j.Status),
		AllowFailure: j.AllowFailure, Manual: kovra.Status(j.Status) == kovra.Manual, FailureReason: j.FailureReason,
		CreatedAt: when(j.CreatedAt), StartedAt: when(j.StartedAt), FinishedAt: when(j.FinishedAt),
		Duration: seconds(j.Duration), URL: j.WebURL,
	}
}

func bridge(projectID int64, b *gl.Bridge) kovra.Job {
	out := kovra.Job{
		ID: b.ID, Project: projectID, Name: b.Name, Stage: b.Stage, Status: kovra.Status(b.Status),
		AllowFailure: b.AllowFailure, Manual: kovra.Status(b.Status) == kovra.Manual, FailureReason: b.FailureReason,
		CreatedAt: when(b.CreatedAt), StartedAt: when(b.StartedAt), FinishedAt: when(b.FinishedAt),
		Duration: seconds(b.Duration), URL: b.WebURL, Bridge: true,
	}
	if d := b.DownstreamPipeline; d != nil {
		out.Downstream = kovra.Downstream{Project: d.ProjectID, Pipeline: d.ID, Status: kovra.Status(d.Status), URL: d.WebURL}
	}
	return out
}

// stages lists the stages in order: GitLab makes the jobs of a pipeline stage by
// stage, so the oldest job of each tells.
func stages(oldestFirst []kovra.Job) []string {
	var names []string
	for _, j := range oldestFirst {
		if j.Stage != "" && !slices.Contains(names, j.Stage) {
			names = append(names, j.Stage)
		}
	}
	return names
}

func seconds(f float64) time.Duration {
	return time.Duration(f * float64(time.Second)).Round(time.Millisecond)
}

func user(u *gl.BasicUser) kovra.GitLabUser {
	if u == nil {
		return kovra.GitLabUser{}
	}
	return kovra.GitLabUser{ID: u.ID, Username: u.Username, Name: u.Name}
}
