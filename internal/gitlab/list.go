package gitlab

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	gl "gitlab.com/gitlab-org/api/client-go/v2"

	"kovra.dev/chatops/internal/kovra"
)

const (
	changedPages   = 20
	findPages      = 5
	sourceChild    = "parent_pipeline"
	sourceAPI      = "api"
	byID           = "id"
	byUpdate       = "updated_at"
	ascending      = "asc"
	descending     = "desc"
	branchRefs     = "refs/heads/"
	tagRefs        = "refs/tags/"
	listsPipelines = "list pipelines"
)

// Brief is a pipeline as lists show it.
type Brief struct {
	Remote    int64
	Status    kovra.Status
	UpdatedAt time.Time
	Ref       string // refs/merge-requests/… for one of a merge request
	SHA       string
	Source    string // parent_pipeline for a child pipeline
}

func brief(p *gl.PipelineInfo) Brief {
	return Brief{
		Remote: p.ID, Status: kovra.Status(p.Status), UpdatedAt: when(p.UpdatedAt), Ref: p.Ref, SHA: p.SHA, Source: p.Source,
	}
}

// Changed returns the pipelines that changed since then, child pipelines too, in
// the order in which they changed. When there are more than can be read at once
// (2,000 of a kind) the newest are left out: UpdatedAt of the last one returned is
// always a safe since for the next call. Some that did not change may be among them.
func (c *Client) Changed(ctx context.Context, projectID int64, since time.Time) ([]Brief, error) {
	found := map[int64]Brief{}
	var horizon time.Time // nothing after it is complete; zero: all is
	for _, source := range []string{"", sourceChild} {
		until, err := c.changedOf(ctx, projectID, since, source, found)
		if err != nil {
			return nil, err
		}
		if !until.IsZero() && (horizon.IsZero() || until.Before(horizon)) {
			horizon = until
		}
	}
	out := make([]Brief, 0, len(found))
	for _, b := range found {
		if horizon.IsZero() || !b.UpdatedAt.After(horizon) {
			out = append(out, b)
		}
	}
	slices.SortFunc(out, func(a, b Brief) int {
		return cmp.Or(a.UpdatedAt.Compare(b.UpdatedAt), cmp.Compare(a.Remote, b.Remote))
	})
	return out, nil
}

// changedOf adds to found. It turns pages by time, not by number: a pipeline that
// changes meanwhile moves to the end, and everything after it would move one place
// forward, over the border of a page and out of sight. It returns up to when the
// list is complete; zero for all of it.
func (c *Client) changedOf(ctx context.Context, projectID int64, since time.Time, source string, found map[int64]Brief) (time.Time, error) {
	opt := gl.ListProjectPipelinesOptions{ListOptions: page(1), OrderBy: new(byUpdate), Sort: new(ascending)}
	if source != "" {
		opt.Source = &source
	}
	var last time.Time
	for range changedPages {
		if !since.IsZero() {
			opt.UpdatedAfter = &since
		}
		got, err := fetch(ctx, c, call{doing: listsPipelines, noun: "such project"},
			func(o gl.RequestOptionFunc) ([]*gl.PipelineInfo, *gl.Response, error) {
				return c.gl.Pipelines.ListProjectPipelines(projectID, &opt, o)
			})
		if err != nil {
			return time.Time{}, err
		}
		for _, p := range got {
			found[p.ID] = brief(p)
			last = when(p.UpdatedAt)
		}
		if len(got) < perPage {
			return time.Time{}, nil
		}
		// The parameter has whole seconds and leaves its own instant out.
		if from := last.Add(-time.Millisecond).Truncate(time.Second); from.After(since) {
			since, opt.Page = from, 1
		} else {
			opt.Page++
		}
	}
	return last, nil
}

// Latest returns the newest pipelines, at most limit and at most 100, newest first,
// without child pipelines.
func (c *Client) Latest(ctx context.Context, projectID int64, limit int) ([]Brief, error) {
	opt := &gl.ListProjectPipelinesOptions{
		ListOptions: gl.ListOptions{PerPage: pageSize(limit)}, OrderBy: new(byID), Sort: new(descending),
	}
	got, err := fetch(ctx, c, call{doing: listsPipelines, noun: "such project"},
		func(o gl.RequestOptionFunc) ([]*gl.PipelineInfo, *gl.Response, error) {
			return c.gl.Pipelines.ListProjectPipelines(projectID, opt, o)
		})
	if err != nil {
		return nil, err
	}
	out := make([]Brief, 0, len(got))
	for _, p := range got {
		out = append(out, brief(p))
	}
	return out[:min(len(out), max(limit, 0))], nil
}

// HighestPipeline returns the highest pipeline id of a project, child pipelines left
// aside; 0 when it has none.
func (c *Client) HighestPipeline(ctx context.Context, projectID int64) (int64, error) {
	newest, err := c.Latest(ctx, projectID, 1)
	if err != nil || len(newest) == 0 {
		return 0, err
	}
	return newest[0].Remote, nil
}

// FindPipeline looks for a pipeline that a user started through the API on a ref,
// with an id above the given one, and returns the lowest such id: after an unclear
// [Client.CreatePipeline] it is the one that came of it.
func (c *Client) FindPipeline(ctx context.Context, projectID, above int64, ref, user string) (id int64, found bool, err error) {
	ref = strings.TrimPrefix(strings.TrimPrefix(ref, branchRefs), tagRefs)
	opt := gl.ListProjectPipelinesOptions{
		Source: new(sourceAPI), Ref: &ref, Username: &user, OrderBy: new(byID), Sort: new(descending),
	}
	for n := int64(1); n <= findPages; n++ {
		opt.ListOptions = page(n)
		got, err := fetch(ctx, c, call{doing: "look for the new pipeline", noun: "such project"},
			func(o gl.RequestOptionFunc) ([]*gl.PipelineInfo, *gl.Response, error) {
				return c.gl.Pipelines.ListProjectPipelines(projectID, &opt, o)
			})
		if err != nil {
			return 0, false, err
		}
		for _, p := range got {
			if p.ID > above && p.Ref == ref && p.Source == sourceAPI && (id == 0 || p.ID < id) {
				id = p.ID
			}
		}
		if len(got) < perPage || got[len(got)-1].ID <= above {
			break
		}
	}
	return id, id != 0, nil
}

// when reads a time that may not be told.
func when(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}
