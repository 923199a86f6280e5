package webhooks

import (
	"cmp"
	"errors"
	"strconv"
	"strings"
	"time"

	"kovra.dev/chatops/internal/kovra"
)

// releaseHook is the body of a release event. It has no user.
type releaseHook struct {
	ID          number `json:"id"`
	Action      word   `json:"action"`
	Name        text   `json:"name"`
	Tag         text   `json:"tag"`
	Description text   `json:"description"`
	URL         link   `json:"url"`
	CreatedAt   moment `json:"created_at"`
	UpdatedAt   moment `json:"updated_at"` // not told by old versions
	Commit      struct {
		ID text `json:"id"`
	} `json:"commit"`
}

// releaseStates are what the actions make of a release.
var releaseStates = map[word]string{"create": "created", "update": "updated", "delete": "deleted"}

// maxDescription bounds what is kept of a release's description, in bytes.
const maxDescription = 1500

// decodeRelease reads a release event; all that it cannot do without is the id.
func decodeRelease(body []byte, h *hook) error {
	var r releaseHook
	if err := tolerantly(body, &r); err != nil {
		return err // unreachable: the envelope was read from the same bytes
	}
	if r.ID <= 0 {
		return errors.New("the release's id is missing")
	}
	s := kovra.Subject{
		Kind: kovra.SubjectRelease, Key: strconv.FormatInt(int64(r.ID), 10), State: releaseStates[r.Action],
		Title: kovra.FirstLine(string(cmp.Or(r.Name, r.Tag))), URL: string(r.URL), Ref: string(r.Tag),
		Text:      cut(strings.TrimSpace(string(r.Description)), maxDescription),
		CreatedAt: time.Time(r.CreatedAt), UpdatedAt: firstTime(r.UpdatedAt, moment(h.at)),
	}
	s.SHA, _ = commitID(r.Commit.ID)
	if r.Action == "create" || r.Action == "delete" {
		s.MovedAt = h.at
	}
	h.subjects = append(h.subjects, s)
	return nil
}
