package gitlab

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	gl "gitlab.com/gitlab-org/api/client-go/v2"

	"kovra.dev/chatops/internal/kovra"
)

// Variable is a variable of one pipeline. Its value is a secret.
type Variable struct{ Key, Value string }

// CreatePipeline starts a pipeline on a branch or tag. Class: write-ahead intent; it
// posts once. After an error of kind Unclear look with [Client.FindPipeline]; any
// other kind means that nothing was started.
func (c *Client) CreatePipeline(ctx context.Context, projectID int64, ref string, vars []Variable, inputs map[string]string) (id int64, webURL string, err error) {
	opt := &gl.CreatePipelineOptions{Ref: &ref}
	what := call{doing: "start a pipeline on " + shorten(ref), noun: "such project", once: true}
	if len(vars) > 0 {
		list := make([]*gl.PipelineVariableOptions, 0, len(vars))
		for _, v := range vars {
			list = append(list, &gl.PipelineVariableOptions{Key: new(v.Key), Value: new(v.Value)})
			what.secrets = append(what.secrets, v.Value)
		}
		opt.Variables = &list
	}
	if len(inputs) > 0 {
		opt.Inputs = gl.PipelineInputsOption{}
		for name, value := range inputs {
			opt.Inputs[name] = gl.NewPipelineInputValue(value) // GitLab reads numbers, truths and lists out of texts
		}
	}
	p, err := fetch(ctx, c, what, func(o gl.RequestOptionFunc) (*gl.Pipeline, *gl.Response, error) {
		return c.gl.Pipelines.CreatePipeline(projectID, opt, o)
	})
	if err != nil {
		return 0, "", c.explainVariables(err, len(vars) > 0)
	}
	if p.ID == 0 {
		return 0, "", c.broken(what, errors.New("no id in the answer"), true, true)
	}
	return p.ID, p.WebURL, nil
}

// explainVariables names the setting behind GitLab's refusal of variables, which is
// its default for new projects.
func (c *Client) explainVariables(err error, given bool) error {
	if !given || !refusalSays(err, "pipeline variables", http.StatusBadRequest, http.StatusForbidden, http.StatusUnprocessableEntity) {
		return err
	}
	return &kovra.Error{
		Kind: kovra.Invalid,
		Public: "GitLab does not let " + c.who() + " set variables in this project. The project's setting decides: " +
			`Settings > CI/CD > Variables > "Minimum role to use pipeline variables". ` +
			"Pipelines that declare inputs (spec:inputs) need no such right: use input:NAME=VALUE instead.",
		Err: err,
	}
}

// RetryPipeline runs the failed and canceled jobs of a pipeline again. Class: by
// precondition; it does nothing to a pipeline that has none.
func (c *Client) RetryPipeline(ctx context.Context, projectID, id int64) error {
	_, err := fetch(ctx, c, call{doing: fmt.Sprintf("retry pipeline %d", id), noun: fmt.Sprintf("pipeline %d", id), once: true},
		func(o gl.RequestOptionFunc) (*gl.Pipeline, *gl.Response, error) {
			return c.gl.Pipelines.RetryPipelineBuild(projectID, id, o)
		})
	return err
}

// CancelPipeline cancels what still moves in a pipeline. Class: by precondition;
// GitLab answers well whatever the state is.
func (c *Client) CancelPipeline(ctx context.Context, projectID, id int64) error {
	_, err := fetch(ctx, c, call{doing: fmt.Sprintf("cancel pipeline %d", id), noun: fmt.Sprintf("pipeline %d", id), once: true},
		func(o gl.RequestOptionFunc) (*gl.Pipeline, *gl.Response, error) {
			return c.gl.Pipelines.CancelPipelineBuild(projectID, id, o)
		})
	return err
}

// RetryJob runs a job again and returns the id of the new attempt. Class: by
// precondition; a job that was retried already is an error of kind Conflict.
func (c *Client) RetryJob(ctx context.Context, projectID, id int64) (int64, error) {
	what := call{doing: fmt.Sprintf("retry job %d", id), noun: fmt.Sprintf("job %d", id), once: true}
	j, err := fetch(ctx, c, what, func(o gl.RequestOptionFunc) (*gl.Job, *gl.Response, error) {
		return c.gl.Jobs.RetryJob(projectID, id, o)
	})
	if err != nil {
		return 0, asConflict(err, "not retryable", "GitLab cannot retry this job: it has been retried already, or it is not over.")
	}
	if j.ID == 0 {
		return 0, c.broken(what, errors.New("no id in the answer"), true, true)
	}
	return j.ID, nil
}

// PlayJob starts a manual job. Class: by precondition; a job that is not manual any
// more is an error of kind Conflict.
func (c *Client) PlayJob(ctx context.Context, projectID, id int64) error {
	_, err := fetch(ctx, c, call{doing: fmt.Sprintf("start job %d", id), noun: fmt.Sprintf("job %d", id), once: true},
		func(o gl.RequestOptionFunc) (*gl.Job, *gl.Response, error) {
			return c.gl.Jobs.PlayJob(projectID, id, &gl.PlayJobOptions{}, o)
		})
	return asConflict(err, "unplayable", "GitLab cannot start this job now: it was started already, or it is not a manual one.")
}

// CancelJob cancels a job. Class: by precondition.
func (c *Client) CancelJob(ctx context.Context, projectID, id int64) error {
	_, err := fetch(ctx, c, call{doing: fmt.Sprintf("cancel job %d", id), noun: fmt.Sprintf("job %d", id), once: true},
		func(o gl.RequestOptionFunc) (*gl.Job, *gl.Response, error) {
			return c.gl.Jobs.CancelJob(projectID, id, o)
		})
	return err
}

// asConflict gives the refusal of something that is not possible in the present
// state its kind: GitLab answers 400 or 403, as for other faults.
func asConflict(err error, words, public string) error {
	if !refusalSays(err, words, http.StatusBadRequest, http.StatusForbidden) {
		return err
	}
	return &kovra.Error{Kind: kovra.Conflict, Public: public, Err: err}
}
