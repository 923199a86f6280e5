package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
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

	longJob = 45 * time.Second
	bigJob  = 8 * time.Second
)

// newer says that the runner of a job stamps its lines and tells the streams apart.
func newer(job string) bool { return job != "lint" && job != "audit" }

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
		now := time.Now()
		moved := w.endTroubles(now)
		if up, plays := w.mood(); up {
			moved = w.moveAll(now, plays) || moved
		}
		if w.cluster != nil {
			moved = w.cluster.moved() || moved
		}
		if moved {
			w.labMoved.tell()
		}
	}
}

// mood says whether GitLab is up, and whether jobs start and end by themselves.
func (w *world) mood() (up, plays bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, down := w.trouble[troubleDown]
	return !down, w.autoplay
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

// moveAll lets every running job write on, and gives each that is due its next push.
func (w *world) moveAll(now time.Time, plays bool) (moved bool) {
	for _, p := range []*gitlabsim.ProjectHandle{w.web, w.api} {
		pipelines := w.gitlab.Pipelines(p.ID)
		for _, pl := range pipelines[max(len(pipelines)-lookBack, 0):] {
			if !slices.Contains([]string{"created", "pending", "running", "canceling"}, pl.Status) {
				continue
			}
			for _, j := range w.gitlab.Jobs(p.ID, pl.ID) {
				moved = w.moveJob(j, now, plays) || moved
			}
		}
	}
	return moved
}

// moveJob starts or ends a job when its time has come. A runner gives back what is cancelled
// without being asked.
func (w *world) moveJob(j gitlabsim.JobState, now time.Time, plays bool) bool {
	w.mu.Lock()
	quick := w.hurry[j.PipelineID]
	w.mu.Unlock()
	// Who asks for a job whose log is worth opening wants to see it run.
	plays = plays || slices.ContainsFunc(specials, func(s special) bool { return s.job == j.Name })
	wait := inQueue
	if quick {
		wait /= hurryShare
	}
	switch j.Status {
	case "pending":
		return plays && now.Sub(j.Queued) > wait && w.gitlab.StartJob(j.ID) == nil
	case "canceling":
		return w.gitlab.FinishJob(j.ID, "canceled", "", "") == nil
	case "running":
		return w.workOn(j, now, plays, quick)
	default:
		return false
	}
}

// workOn lets a running job write, up to its last lines, and ends it when it is due.
func (w *world) workOn(j gitlabsim.JobState, now time.Time, plays, quick bool) bool {
	kind, status := w.planned(j)
	if j.Recording == "" {
		if w.gitlab.Record(j.ID, stamped(kind, j.Name)) != nil {
			return false // it has just ended
		}
	} else {
		kind = j.Recording
	}
	length := lengthOf(kind, j.ID)
	if quick {
		length /= hurryShare
	}
	share := float64(now.Sub(j.Started)) / float64(length)
	if share < 1 || !plays {
		_ = w.gitlab.WriteTrace(j.ID, min(share, 1)) // it may have ended a moment ago
		return false
	}
	w.mu.Lock()
	delete(w.plans, plan{j.PipelineID, j.Name})
	w.mu.Unlock()
	return w.gitlab.FinishJob(j.ID, status, "", "") == nil
}

func lengthOf(kind string, job int64) time.Duration {
	switch kind {
	case "long":
		return longJob
	case "big":
		return bigJob
	default:
		return shortest + spread*time.Duration(job*7%11)/10
	}
}

// planned is what a job writes and how it ends; without a plan it passes.
func (w *world) planned(j gitlabsim.JobState) (kind, status string) {
	w.mu.Lock()
	kind, fails := w.plans[plan{j.PipelineID, j.Name}]
	w.mu.Unlock()
	switch {
	case fails:
		return kind, "failed"
	case j.Name == nightly.job:
		return nightly.kind, "success"
	default:
		return "ok", "success"
	}
}

// stamped is a kind of log as the runner of a job writes it. Some runners are older.
func stamped(kind, job string) string {
	if newer(job) {
		return kind + gitlabsim.Timestamps
	}
	return kind
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
