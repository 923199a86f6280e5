package gitlab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	gl "gitlab.com/gitlab-org/api/client-go/v2"

	"kovra.dev/chatops/internal/kovra"
)

// longestRefusal bounds what is read of an answer that is no trace.
const longestRefusal = 64 << 10

// Job reads one job and the id of its pipeline. GitLab gives no trigger jobs here:
// they are an error of kind NotFound.
func (c *Client) Job(ctx context.Context, projectID, id int64) (kovra.Job, int64, error) {
	j, err := fetch(ctx, c, call{doing: fmt.Sprintf("read job %d", id), noun: fmt.Sprintf("job %d", id)},
		func(o gl.RequestOptionFunc) (*gl.Job, *gl.Response, error) { return c.gl.Jobs.GetJob(projectID, id, o) })
	if err != nil {
		return kovra.Job{}, 0, err
	}
	return job(projectID, j), j.Pipeline.ID, nil
}

// Trace opens the log of a job as GitLab has it, from its start; a job without a log
// has an empty one. The caller closes it and decides how much to read; only silence
// longer than the client's timeout ends it, with an error of kind Unavailable.
func (c *Client) Trace(ctx context.Context, projectID, id int64) (io.ReadCloser, error) {
	what := call{doing: fmt.Sprintf("read the log of job %d", id), noun: fmt.Sprintf("job %d", id)}
	if err := c.mayAsk(); err != nil {
		return nil, err
	}
	url := fmt.Sprintf("%s%sprojects/%d/jobs/%d/trace", c.base, apiPath, projectID, id)
	ctx, cancel := context.WithCancel(ctx)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		cancel()
		return nil, c.broken(what, err, false, false)
	}
	if c.person {
		req.Header.Set("Authorization", "Bearer "+c.token())
	} else {
		req.Header.Set(gl.AccessTokenHeaderName, c.token())
	}
	req.Header.Set("User-Agent", "kovra")
	t := &trace{c: c, what: what, cancel: cancel}
	t.alarm = time.AfterFunc(c.timeout, t.silent)
	resp, err := c.http.Do(req) //nolint:bodyclose // closed by trace.Close or below
	if err != nil {
		t.stop()
		return nil, t.judge(err, false)
	}
	t.alarm.Stop()
	t.body = resp.Body
	if resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusNoContent {
		return t, nil
	}
	t.alarm.Reset(c.timeout)
	body, _ := io.ReadAll(io.LimitReader(resp.Body, longestRefusal)) // the status says enough
	_ = t.Close()
	return nil, c.refused(what, resp, body)
}

// trace is an open log.
type trace struct {
	c      *Client
	what   call
	body   io.ReadCloser
	cancel context.CancelFunc
	alarm  *time.Timer
	late   atomic.Bool
}

func (t *trace) silent() {
	t.late.Store(true)
	t.cancel()
}

// Read implements [io.Reader]; its errors are those of the package, or io.EOF.
func (t *trace) Read(p []byte) (int, error) {
	t.alarm.Reset(t.c.timeout) // runs only while GitLab is waited for
	n, err := t.body.Read(p)
	t.alarm.Stop()
	if err == nil || errors.Is(err, io.EOF) {
		return n, err
	}
	return n, t.judge(err, true)
}

func (t *trace) judge(err error, answered bool) error {
	if t.late.Load() {
		err, answered = fmt.Errorf("no data for %s: %w", t.c.timeout, context.DeadlineExceeded), false
	}
	return t.c.broken(t.what, err, answered, true)
}

func (t *trace) stop() {
	t.alarm.Stop()
	t.cancel()
}

// Close implements [io.Closer].
func (t *trace) Close() error {
	err := t.body.Close()
	t.stop()
	return err
}
