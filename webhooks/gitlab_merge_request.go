package webhooks

import (
	"cmp"
	"errors"
	"strconv"
	"strings"
	"time"

	"kovra.dev/chatops/internal/kovra"
)

// mergeRequestHook is the body of a merge request event. Its user is who did what happened.
type mergeRequestHook struct {
	User       user `json:"user"`
	Attributes struct {
		mergeRequest
		Action       word `json:"action"` // not told of what the system did by itself
		System       flag `json:"system"`
		SystemAction word `json:"system_action"`
	} `json:"object_attributes"`
	Changes struct {
		Draft struct {
			Previous flag `json:"previous"`
			Current  flag `json:"current"`
		} `json:"draft"`
		Title struct {
			Previous text `json:"previous"`
			Current  text `json:"current"`
		} `json:"title"`
	} `json:"changes"`
	Assignees list[user] `json:"assignees"`
	Reviewers list[user] `json:"reviewers"`
	Project   project    `json:"project"`
}

// mergeRequest is a merge request as its own events and those of comments tell it.
type mergeRequest struct {
	IID           number `json:"iid"`
	Title         text   `json:"title"`
	URL           link   `json:"url"`
	State         word   `json:"state"`
	Draft         flag   `json:"draft"`
	WIP           flag   `json:"work_in_progress"` // as old versions call it
	SourceBranch  text   `json:"source_branch"`
	TargetBranch  text   `json:"target_branch"`
	SourceProject number `json:"source_project_id"`
	TargetProject number `json:"target_project_id"`
	Author        number `json:"author_id"`
	HeadPipeline  number `json:"head_pipeline_id"`
	CreatedAt     moment `json:"created_at"`
	UpdatedAt     moment `json:"updated_at"`
	LastCommit    struct {
		ID text `json:"id"`
	} `json:"last_commit"`
}

// What GitLab says was done to a merge request. An update is a turn only where it ends a draft.
const (
	actionOpen       = "open"
	actionReopen     = "reopen"
	actionClose      = "close"
	actionMerge      = "merge"
	actionUpdate     = "update"
	actionApproved   = "approved" // and now it has all that it needs
	actionApproval   = "approval"
	actionUnapproved = "unapproved"
	actionUnapproval = "unapproval"

	resetOnPush = "approvals_reset_on_push"
)

// statesOf are the states that the actions lead to, for bodies that tell none.
var statesOf = map[word]string{actionOpen: "opened", actionReopen: "opened", actionClose: "closed", actionMerge: "merged"}

// decodeMergeRequest reads a merge request event; all that it cannot do without is the iid.
func decodeMergeRequest(body []byte, h *hook) error {
	var m mergeRequestHook
	if err := tolerantly(body, &m); err != nil {
		return err // unreachable: the envelope was read from the same bytes
	}
	a := &m.Attributes
	if a.IID <= 0 {
		return errors.New("the merge request's number is missing")
	}
	if h.project == 0 && a.TargetProject > 0 {
		h.project = int64(a.TargetProject)
	}
	s := kovra.Subject{
		Kind: kovra.SubjectMergeRequest, Key: strconv.FormatInt(int64(a.IID), 10),
		Title: kovra.FirstLine(string(a.Title)), URL: cmp.Or(string(a.URL), m.Project.page("merge_requests", int64(a.IID))), By: m.author(),
		Ref: string(a.TargetBranch), Source: string(a.SourceBranch), State: m.state(), Draft: bool(a.Draft || a.WIP),
		CreatedAt: time.Time(a.CreatedAt), UpdatedAt: firstTime(a.UpdatedAt, moment(h.at)),
	}
	s.SHA, _ = commitID(a.LastCommit.ID)
	s.Fork = a.SourceProject != 0 && a.SourceProject != cmp.Or(a.TargetProject, number(h.project))
	switch a.Action {
	case actionApproved, actionApproval, actionUnapproved, actionUnapproval:
		m.approve(&s, h.at)
	case actionOpen, actionReopen, actionClose, actionMerge:
		s.MovedAt = h.at
	case actionUpdate:
		if m.readied() {
			s.MovedAt = h.at
		}
	}
	h.subjects = append(h.subjects, s)
	return nil
}

// state is GitLab's word; old versions had another one for what was opened again.
func (m *mergeRequestHook) state() string {
	if m.Attributes.State == "reopened" {
		return statesOf[actionReopen]
	}
	return cmp.Or(string(m.Attributes.State), statesOf[m.Attributes.Action])
}

// author is who opened it: only the id is told of them, unless they are among those who are described.
func (m *mergeRequestHook) author() kovra.GitLabUser {
	id := m.Attributes.Author
	for _, list := range [][]user{{m.User}, m.Assignees, m.Reviewers} {
		for _, u := range list {
			if id > 0 && u.ID == id || id <= 0 && m.Attributes.Action == actionOpen {
				return u.person()
			}
		}
	}
	return kovra.GitLabUser{ID: max(int64(id), 0)}
}

// approve takes what somebody says of it, or that a push took all approvals back. GitLab does not tell when: its mark of the last change
// need not change with them.
func (m *mergeRequestHook) approve(s *kovra.Subject, at time.Time) {
	approved := m.Attributes.Action == actionApproved || m.Attributes.Action == actionApproval
	by := m.User.person()
	switch {
	case bool(m.Attributes.System) && !approved:
		if m.Attributes.SystemAction == resetOnPush {
			s.ResetAt = at
		}
	case by != kovra.GitLabUser{}:
		s.Approvals = []kovra.Approval{{By: by, Approved: approved, At: at}}
		s.MovedAt = at
	}
}

// readied reports whether the update ends a draft.
func (m *mergeRequestHook) readied() bool {
	if m.Attributes.Draft || m.Attributes.WIP {
		return false
	}
	t := &m.Changes.Title
	return bool(m.Changes.Draft.Previous) || isDraft(t.Previous) && t.Current != "" && !isDraft(t.Current)
}

func isDraft(title text) bool {
	t := strings.ToLower(strings.TrimSpace(string(title)))
	for _, prefix := range []string{"draft:", "[draft]", "(draft)", "wip:", "[wip]"} {
		if strings.HasPrefix(t, prefix) {
			return true
		}
	}
	return false
}
