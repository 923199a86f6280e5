package gitlabsim

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Note is a comment on a merge request. Notes with one DiscussionID are a thread.
type Note struct {
	ID           int64
	DiscussionID string
	Author, Body string
	Created      time.Time
}

type note struct {
	id         int64
	discussion string
	author     *User
	body       string
	created    time.Time
	reply      bool
}

// Comment begins a thread on a merge request and fires the note hook.
func (s *Server) Comment(projectID, iid int64, username, text string) Note {
	return s.Reply(projectID, iid, "", username, text)
}

// Reply answers in a thread and fires the note hook. A thread that is not there panics.
func (s *Server) Reply(projectID, iid int64, discussionID, username, text string) Note {
	var out Note
	s.act(func() {
		p, u := s.mustProject(projectID), s.someUser(username)
		m := s.mustMR(p, iid)
		if discussionID != "" && !m.has(discussionID) {
			panic(fmt.Sprintf("gitlabsim: merge request %d has no discussion %q", iid, discussionID))
		}
		out = s.addNote(p, m, u, discussionID, text).public()
	})
	return out
}

// Notes returns the comments on a merge request, oldest first.
func (s *Server) Notes(projectID, iid int64) []Note {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []Note{}
	if p := s.findProject(projectID); p != nil && p.mrs[iid] != nil {
		for _, n := range p.mrs[iid].notes {
			list = append(list, n.public())
		}
	}
	return list
}

func (n *note) public() Note {
	return Note{ID: n.id, DiscussionID: n.discussion, Author: n.author.Username, Body: n.body, Created: n.created}
}

func (m *mergeRequest) has(discussion string) bool {
	for _, n := range m.notes {
		if n.discussion == discussion {
			return true
		}
	}
	return false
}

func (s *Server) addNote(p *project, m *mergeRequest, u *User, discussion, body string) *note {
	n := &note{id: s.id("note", 301), discussion: discussion, author: u, body: body, created: s.now(), reply: discussion != ""}
	if discussion == "" {
		sum := sha256.Sum256(fmt.Appendf(nil, "discussion %d", n.id))
		n.discussion = hex.EncodeToString(sum[:20])
	}
	m.notes = append(m.notes, n)
	s.emit(p, flagOf[eventNote], eventNote, func() object { return s.notePayload(p, m, n) })
	return n
}

// notePayload is the note hook of a merge request.
func (s *Server) notePayload(p *project, m *mergeRequest, n *note) object {
	return object{
		"object_kind": "note", "event_type": "note", "user": s.userHook(n.author), "project_id": p.ID, "project": s.projectHook(p, true),
		"repository": s.repositoryHook(p), "merge_request": s.mergeRequestAttributes(p, m),
		"object_attributes": object{
			"id": n.id, "note": n.body, "description": n.body, "noteable_type": "MergeRequest", "noteable_id": m.ID, "author_id": n.author.ID, //nolint:misspell // GitLab calls it so
			"created_at": hookTime(n.created), "updated_at": hookTime(n.created), "project_id": p.ID, "attachment": nil,
			"change_position": nil, "original_position": nil, "position": nil, "discussion_id": n.discussion, "internal": false,
			"line_code": nil, "commit_id": nil, "resolved_at": nil, "resolved_by_id": nil, "resolved_by_push": nil, "system": false,
			"st_diff": nil, "type": nullable(n.kind()), "action": "create",
			"url": fmt.Sprintf("%s#note_%d", s.mergeRequestURL(p, m.IID), n.id),
		},
	}
}

func (n *note) kind() string {
	if n.reply {
		return "DiscussionNote"
	}
	return ""
}

func (s *Server) noteJSON(p *project, m *mergeRequest, n *note) object {
	return object{
		"id": n.id, "type": nullable(n.kind()), "body": n.body, "attachment": nil, "author": s.userJSON(n.author),
		"created_at": restTime(n.created), "updated_at": restTime(n.created), "system": false, "noteable_id": m.ID, //nolint:misspell // GitLab calls it so
		"noteable_type": "MergeRequest", "project_id": p.ID, "resolvable": n.reply, "confidential": false, "internal": false, //nolint:misspell // likewise
		"noteable_iid": m.IID, "commands_changes": object{}, //nolint:misspell // likewise
	}
}

// mergeRequest finds the merge request of a request in its project.
func (r *request) mergeRequest() (*mergeRequest, error) {
	iid, err := r.id("merge_request_iid")
	if err != nil {
		return nil, err
	}
	m := r.project.mrs[iid]
	if m == nil {
		return nil, failed(http.StatusNotFound, "404 Not found")
	}
	return m, nil
}

func getMergeRequest(s *Server, r *request) (reply, error) {
	m, err := r.mergeRequest()
	if err != nil {
		return reply{}, err
	}
	p := r.project
	return ok(object{
		"id": m.ID, "iid": m.IID, "project_id": p.ID, "title": m.Title, "description": m.Description, "state": m.State,
		"created_at": restTime(m.created), "updated_at": restTime(m.updated), "source_branch": m.SourceBranch, "target_branch": m.TargetBranch,
		"source_project_id": p.ID, "target_project_id": p.ID, "author": s.userJSON(m.author), "draft": m.Draft, "work_in_progress": m.Draft,
		"sha": p.resolve(m.SourceBranch), "merge_commit_sha": nullable(m.merged), "web_url": s.mergeRequestURL(p, m.IID),
		"labels": []string{}, "assignees": []object{}, "reviewers": []object{}, "user_notes_count": len(m.notes),
	}), nil
}

// listNotes gives the newest first, as GitLab does.
func listNotes(s *Server, r *request) (reply, error) {
	m, err := r.mergeRequest()
	if err != nil {
		return reply{}, err
	}
	list := []object{}
	for _, n := range m.notes {
		list = append(list, s.noteJSON(r.project, m, n))
	}
	return sortedPage(s, r, list, sorting{fields: []string{"created_at", "updated_at"}, by: "created_at", desc: true})
}

func getNote(s *Server, r *request) (reply, error) {
	m, err := r.mergeRequest()
	if err != nil {
		return reply{}, err
	}
	id, err := r.id("note_id")
	if err != nil {
		return reply{}, err
	}
	for _, n := range m.notes {
		if n.id == id {
			return ok(s.noteJSON(r.project, m, n)), nil
		}
	}
	return reply{}, failed(http.StatusNotFound, "404 Note Not Found")
}

func createNote(s *Server, r *request) (reply, error) { return s.noteBy(r, "") }

func replyNote(s *Server, r *request) (reply, error) { return s.noteBy(r, r.vars["discussion_id"]) }

// noteBy adds a note to a merge request by the API, which fires the hook as any other.
func (s *Server) noteBy(r *request, discussion string) (reply, error) {
	m, err := r.mergeRequest()
	switch {
	case err != nil:
		return reply{}, err
	case r.params["body"] == nil:
		return reply{}, invalid("body is missing")
	case discussion != "" && !m.has(discussion):
		return reply{}, failed(http.StatusNotFound, "404 Discussion Not Found")
	case strings.TrimSpace(r.text("body")) == "":
		return reply{}, failed(http.StatusBadRequest, `400 Bad request - Note {:note=>["can't be blank"]}`)
	}
	return created(s.noteJSON(r.project, m, s.addNote(r.project, m, r.user, discussion, r.text("body")))), nil
}
