package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"kovra.dev/chatops/internal/gitlabsim"
)

// The pace of jobs that move by themselves.
const (
	beat       = 250 * time.Millisecond
	inQueue    = 700 * time.Millisecond
	shortest   = 2200 * time.Millisecond
	spread     = 2400 * time.Millisecond // jobs differ by up to this much
	lookBack   = 30                      // newest pipelines of a project that still may move
	hurryShare = 4                       // of the usual times
)

// Troubles that pass by themselves.
const (
	troubleDown  = "down"  // GitLab answers 503, and sends nothing
	troubleLimit = "limit" // Slack answers 429
	troubleHeld  = "held"  // webhooks wait to be released
)

// direct moves jobs and ends troubles that are over, until ctx ends.
func (w *world) direct(ctx context.Context) error {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		moved := w.endTroubles(time.Now())
		if w.plays() {
			moved = w.moveAll(time.Now()) || moved
		}
		if moved {
			w.labMoved.tell()
		}
	}
}

func (w *world) plays() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, down := w.trouble[troubleDown]
	return w.autoplay && !down
}

// endTroubles lets go of what has lasted long enough.
func (w *world) endTroubles(now time.Time) (ended bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for what, until := range w.trouble {
		if now.Before(until) {
			continue
		}
		delete(w.trouble, what)
		ended = true
		if what == troubleDown {
			w.gitlab.SetDown(false)
		}
		if _, held := w.trouble[troubleHeld]; !held && what != troubleLimit {
			w.gitlab.ReleaseHooks(nil)
		}
	}
	return ended
}

// moveAll gives every job that is due its next push.
func (w *world) moveAll(now time.Time) (moved bool) {
	for _, p := range []*gitlabsim.ProjectHandle{w.web, w.api} {
		pipelines := w.gitlab.Pipelines(p.ID)
		for _, pl := range pipelines[max(len(pipelines)-lookBack, 0):] {
			if !slices.Contains([]string{"created", "pending", "running"}, pl.Status) {
				continue
			}
			for _, j := range w.gitlab.Jobs(p.ID, pl.ID) {
				moved = w.moveJob(j, now) || moved
			}
		}
	}
	return moved
}

// moveJob starts or ends a job when its time has come.
func (w *world) moveJob(j gitlabsim.JobState, now time.Time) bool {
	w.mu.Lock()
	quick := w.hurry[j.PipelineID]
	w.mu.Unlock()
	wait, length := inQueue, shortest+spread*time.Duration(j.ID*7%11)/10
	if quick {
		wait, length = wait/hurryShare, length/hurryShare
	}
	switch {
	case j.Status == "pending" && now.Sub(j.Queued) > wait:
		return w.gitlab.StartJob(j.ID) == nil
	case j.Status == "running" && now.Sub(j.Started) > length:
		return w.endJob(j) == nil
	default:
		return false
	}
}

// endJob ends a job as planned; without a plan it passes.
func (w *world) endJob(j gitlabsim.JobState) error {
	w.mu.Lock()
	key := plan{j.PipelineID, j.Name}
	kind, fails := w.plans[key]
	delete(w.plans, key)
	w.mu.Unlock()
	if fails {
		return w.gitlab.FinishJob(j.ID, "failed", w.traceOf(kind, j.Name), "")
	}
	return w.gitlab.FinishJob(j.ID, "success", w.traceOf("ok", j.Name), "")
}

// traceOf is a log of a kind, with time stamps as newer runners write them.
func (w *world) traceOf(kind, job string) string {
	trace := gitlabsim.SampleLog(kind + gitlabsim.Timestamps)
	if job == "lint" || strings.HasPrefix(job, "a") {
		trace = gitlabsim.SampleLog(kind) // some runners are older
	}
	return trace
}

// deliver posts one webhook and lets the page know.
func (w *world) deliver(ctx context.Context, url string, h http.Header, body []byte) (int, error) {
	defer w.labMoved.tell()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, fmt.Errorf("make the request: %w", err)
	}
	req.Header = h
	resp, err := w.courier.Do(req)
	if err != nil {
		return 0, fmt.Errorf("post the webhook: %w", err)
	}
	return resp.StatusCode, resp.Body.Close()
}

// push puts a commit on a branch. A kind of log makes the named job fail with it. The
// jobs of a quick one hurry.
func (w *world) push(project int64, branch, title, author, job, kind string, quick bool) gitlabsim.PipelineRef {
	w.mu.Lock()
	defer w.mu.Unlock()
	c, ref := w.gitlab.Push(project, branch, title, author)
	w.titles[c.SHA] = title
	if !slices.Contains(w.branches[project], branch) {
		w.branches[project] = append(w.branches[project], branch)
	}
	if kind != "" {
		w.plans[plan{ref.ID, job}] = kind
	}
	w.hurry[ref.ID] = quick
	w.labMoved.tell()
	return ref
}
