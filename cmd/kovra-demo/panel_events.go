package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"kovra.dev/chatops/internal/gitlabsim"
)

// panelEvents is how many merge requests and deployments of a project the panel shows.
const panelEvents = 3

// idea is what a merge request may be about.
type idea struct{ branch, title string }

var ideas = []idea{
	{"cart-badge", "Show a badge on the cart"},
	{"faster-search", "Answer searches from the cache"},
	{"guest-checkout", "Check out without an account"},
	{"invoice-pdf", "Send the invoice as a PDF"},
}

// happened is what was made in a project by the panel, beside commits and jobs.
type happened struct {
	requests    []int64 // iids of merge requests, oldest first
	approved    map[int64]bool
	deployments []gitlabsim.Deployment
	tags        int
	tag         string // the newest one
	released    bool   // the newest tag has a release
}

// events is what a project's merge requests, deployments, tags and releases look like in
// the panel.
type events struct {
	Requests    []labRequest    `json:"requests"`    // newest first
	Deployments []labDeployment `json:"deployments"` // newest first
	NextTag     string          `json:"next_tag"`
	Release     string          `json:"release"` // the tag that can be released; "": none
}

type labRequest struct {
	IID      int64  `json:"iid"`
	Title    string `json:"title"`
	Branch   string `json:"branch"`
	State    string `json:"state"`
	Approved bool   `json:"approved"`
	URL      string `json:"url"`
}

type labDeployment struct {
	ID          int64  `json:"id"`
	Environment string `json:"environment"`
	Ref         string `json:"ref"`
	Status      string `json:"status"`
}

// labEvents tells what happened in a project; w.mu is held.
func (w *world) labEvents(p *gitlabsim.ProjectHandle) *events {
	h := w.happenedIn(p.ID)
	out := &events{Requests: []labRequest{}, Deployments: []labDeployment{}, NextTag: tagName(h.tags + 1)}
	for _, iid := range slices.Backward(h.requests[max(len(h.requests)-panelEvents, 0):]) {
		m := w.gitlab.MergeRequest(p.ID, iid)
		out.Requests = append(out.Requests, labRequest{
			IID: iid, Title: m.Title, Branch: m.SourceBranch, State: m.State, Approved: h.approved[iid],
			URL: fmt.Sprintf("%s/%s/-/merge_requests/%d", w.gitlab.URL(), p.Path, iid),
		})
	}
	for _, d := range slices.Backward(h.deployments[max(len(h.deployments)-panelEvents, 0):]) {
		out.Deployments = append(out.Deployments, labDeployment{d.ID, d.Environment, d.Ref, d.Status})
	}
	if !h.released {
		out.Release = h.tag
	}
	return out
}

func tagName(n int) string { return fmt.Sprintf("v1.%d.0", n) }

// happenedIn is the record of a project; w.mu is held.
func (w *world) happenedIn(project int64) *happened {
	h := w.happened[project]
	if h == nil {
		h = &happened{approved: map[int64]bool{}}
		w.happened[project] = h
	}
	return h
}

// eventing is something to make happen in a project.
type eventing struct {
	Project int64  `json:"project"`
	Do      string `json:"do"`
	ID      int64  `json:"id"`   // of a merge request or a deployment
	Text    string `json:"text"` // a comment, or the name of an environment
	User    string `json:"user"`
}

func (w *world) panelEvent(_ context.Context, in eventing) (any, error) {
	known := slices.ContainsFunc(w.shown(), func(p *gitlabsim.ProjectHandle) bool { return p.ID == in.Project })
	if !known || w.real != nil && in.Project == w.real.project.ID {
		return nil, fmt.Errorf("nothing can be made to happen in project %d", in.Project)
	}
	in.User = or(in.User, accounts[0].Username)
	if !slices.ContainsFunc(accounts, func(a account) bool { return a.Username == in.User }) {
		return nil, fmt.Errorf("there is no account %q", in.User)
	}
	defer w.labMoved.tell()
	kind, what, _ := strings.Cut(in.Do, ":")
	switch kind {
	case "request":
		return shown{}, w.request(in, what)
	case "deployment":
		return shown{}, w.deployment(in, what)
	case "tag":
		return shown{}, w.tag(in)
	case "release":
		return shown{}, w.release(in)
	default:
		return nil, fmt.Errorf("nothing is called %q", in.Do)
	}
}

// request opens a merge request, or does something with one that is open.
func (w *world) request(in eventing, what string) error {
	if what == "open" {
		w.openRequest(in)
		return nil
	}
	state := w.gitlab.MergeRequest(in.Project, in.ID).State
	if state == "" || what != "comment" && state != "opened" {
		return fmt.Errorf("merge request !%d is not open", in.ID)
	}
	switch what {
	case "push":
		c, _ := w.gitlab.PushMergeRequest(in.Project, in.ID, "Do as the review says", in.User)
		w.name(c)
	case "approve":
		w.gitlab.ApproveMergeRequest(in.Project, in.ID, in.User)
		w.mu.Lock()
		w.happenedIn(in.Project).approved[in.ID] = true
		w.mu.Unlock()
	case "merge":
		ref := w.gitlab.MergeMergeRequest(in.Project, in.ID, in.User)
		w.mu.Lock()
		w.titles[w.gitlab.Pipeline(in.Project, ref.ID).SHA] = "Merge: " + w.gitlab.MergeRequest(in.Project, in.ID).Title
		w.mu.Unlock()
	case "close":
		w.gitlab.CloseMergeRequest(in.Project, in.ID, in.User)
	case "comment":
		w.gitlab.Comment(in.Project, in.ID, in.User, or(strings.TrimSpace(in.Text), "/kovra retry"))
	default:
		return fmt.Errorf("nothing of a merge request is called %q", what)
	}
	return nil
}

// openRequest pushes a branch and asks for it to be merged.
func (w *world) openRequest(in eventing) {
	w.mu.Lock()
	n := len(w.happenedIn(in.Project).requests)
	w.mu.Unlock()
	about := ideas[n%len(ideas)]
	if n >= len(ideas) {
		about.branch = fmt.Sprintf("%s-%d", about.branch, n/len(ideas)+1)
	}
	w.push(in.Project, about.branch, about.title, in.User, "", "", false)
	m := w.gitlab.OpenMergeRequest(in.Project, gitlabsim.MergeRequest{Title: about.title, SourceBranch: about.branch, Approvals: 1}, in.User)
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.happenedIn(in.Project)
	h.requests = append(h.requests, m.IID)
}

// name remembers the title of a commit.
func (w *world) name(c gitlabsim.Commit) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.titles[c.SHA] = c.Title
}

// deployment starts one, or moves one on. One to production waits for an approval.
func (w *world) deployment(in eventing, what string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.happenedIn(in.Project)
	if what == "start" {
		d := gitlabsim.Deployment{Environment: or(in.Text, "staging"), Ref: "main", Status: "running"}
		if d.Environment == "production" {
			d.Status = "blocked"
		}
		h.deployments = append(h.deployments, w.gitlab.CreateDeployment(in.Project, d, in.User))
		return nil
	}
	i := slices.IndexFunc(h.deployments, func(d gitlabsim.Deployment) bool { return d.ID == in.ID })
	next := map[string]string{"running success": "success", "running fail": "failed", "blocked approve": "running", "blocked reject": "canceled"}
	if i < 0 || next[h.deployments[i].Status+" "+what] == "" {
		return fmt.Errorf("deployment %d cannot %s now", in.ID, what)
	}
	d := &h.deployments[i]
	if d.Status == "blocked" {
		w.gitlab.ApproveDeployment(in.Project, d.ID, in.User, what == "approve", "")
	}
	d.Status = next[d.Status+" "+what]
	w.gitlab.SetDeployment(in.Project, d.ID, d.Status)
	return nil
}

// tag makes the next tag at the head of main.
func (w *world) tag(in eventing) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.happenedIn(in.Project)
	h.tags++
	h.tag, h.released = tagName(h.tags), false
	w.gitlab.CreateTag(in.Project, h.tag, "main", in.User)
	return nil
}

// release makes the release of the newest tag.
func (w *world) release(in eventing) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.happenedIn(in.Project)
	if h.tag == "" || h.released {
		return fmt.Errorf("there is no tag to release")
	}
	h.released = true
	w.gitlab.CreateRelease(in.Project, gitlabsim.Release{Tag: h.tag, Description: "What is new: vouchers, and a faster search."})
	return nil
}
