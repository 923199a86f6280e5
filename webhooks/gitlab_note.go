package webhooks

import (
	"cmp"
	"errors"

	"kovra.dev/chatops/internal/kovra"
)

// noteHook is the body of an event about a comment.
type noteHook struct {
	User       user `json:"user"`
	Attributes struct {
		ID         number `json:"id"`
		Note       text   `json:"note"`
		On         word   `json:"noteable_type"` //nolint:misspell // GitLab calls it so
		Action     word   `json:"action"`        // not told by old versions, which told of new comments alone
		System     flag   `json:"system"`
		Discussion text   `json:"discussion_id"`
		URL        link   `json:"url"`
	} `json:"object_attributes"`
	MergeRequest mergeRequest `json:"merge_request"`
}

const (
	onMergeRequest = "MergeRequest"
	noteCreated    = "create"
)

// decodeNote reads a new comment on a merge request that is a command; all others are nobody's business. It cannot do without the
// ids of the comment and of the merge request.
func decodeNote(body []byte, h *hook) error {
	var n noteHook
	if err := tolerantly(body, &n); err != nil {
		return err // unreachable: the envelope was read from the same bytes
	}
	a := &n.Attributes
	said, isCommand := kovra.CommandOf(string(a.Note))
	by := n.User.person()
	if a.On != onMergeRequest || bool(a.System) || cmp.Or(a.Action, noteCreated) != noteCreated || !isCommand || by.Bot() {
		return nil
	}
	m := &n.MergeRequest
	switch {
	case a.ID <= 0:
		return errors.New("the comment's id is missing")
	case m.IID <= 0:
		return errors.New("the number of the comment's merge request is missing")
	case by.ID <= 0:
		return errors.New("the author of the comment is missing")
	}
	if h.project == 0 && m.TargetProject > 0 {
		h.project = int64(m.TargetProject)
	}
	h.comment = &kovra.Comment{
		Note: int64(a.ID), Discussion: string(a.Discussion), MR: int64(m.IID), Source: string(m.SourceBranch), Branch: string(m.SourceBranch),
		Pipeline: max(int64(m.HeadPipeline), 0), By: by, Text: said, URL: string(a.URL),
	}
	if m.SourceProject != 0 && m.SourceProject != cmp.Or(m.TargetProject, number(h.project)) {
		h.comment.Branch = ""
	}
	return nil
}
