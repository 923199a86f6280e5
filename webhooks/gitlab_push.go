package webhooks

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"kovra.dev/chatops/internal/kovra"
)

// pushHook is the body of a push or tag push event. Its user is flat.
type pushHook struct {
	Ref    text `json:"ref"`
	Before text `json:"before"` // zeros: the ref is new
	After  text `json:"after"`  // zeros: it was deleted
	// Checkout is the commit. After is not, where a tag is an object of its own.
	Checkout text             `json:"checkout_sha"`
	Commits  list[pushCommit] `json:"commits"` // oldest first, at most 20
	Total    number           `json:"total_commits_count"`
	UserID   number           `json:"user_id"`
	UserName text             `json:"user_name"`
	Username text             `json:"user_username"`
}

type pushCommit struct {
	ID      text `json:"id"`
	Title   text `json:"title"`
	Message text `json:"message"`
	Author  struct {
		Name text `json:"name"`
	} `json:"author"`
	Added    list[text] `json:"added"`
	Modified list[text] `json:"modified"`
	Removed  list[text] `json:"removed"`
}

// decodePush reads a push event; all that it cannot do without is the ref, and where it points to now.
func decodePush(body []byte, h *hook) error {
	var p pushHook
	if err := tolerantly(body, &p); err != nil {
		return err // unreachable: the envelope was read from the same bytes
	}
	name, isTag := kovra.FullRef(string(p.Ref))
	if name == "" {
		return errors.New("the ref is missing")
	}
	after, ok := commitID(p.After)
	if !ok {
		return fmt.Errorf("the commit that was pushed is missing: %q", cut(string(p.After), quoted))
	}
	if checkout, ok := commitID(p.Checkout); ok && isTag && after != "" {
		after = cmp.Or(checkout, after)
	}
	before, _ := commitID(p.Before)
	push := &kovra.Push{
		Project: h.project, Ref: name, Tag: isTag, Before: before, After: after,
		Pusher: kovra.GitLabUser{ID: int64(p.UserID), Username: string(p.Username), Name: string(p.UserName)},
	}
	for i := range p.Commits {
		if c := &p.Commits[i]; after != "" && string(c.ID) == after {
			push.Title = kovra.FirstLine(string(cmp.Or(c.Message, c.Title)))
			push.Author = kovra.GitLabUser{Name: string(c.Author.Name)}
		}
	}
	push.Paths, push.AllPaths = p.paths(), p.listsAll(before)
	h.push = push
	return nil
}

// commitID reads the id of a commit; "" for the zeros that stand for none. ok says that it is one of the two.
func commitID(t text) (id string, ok bool) {
	s := strings.ToLower(strings.TrimSpace(string(t)))
	if kovra.IsSHA(s) {
		return s, true
	}
	return "", (len(s) == 40 || len(s) == 64) && strings.Trim(s, "0") == ""
}

// paths are the files that the listed commits changed, each once.
func (p *pushHook) paths() []string {
	var all []string
	for i := range p.Commits {
		c := &p.Commits[i]
		for _, of := range []list[text]{c.Added, c.Modified, c.Removed} {
			for _, name := range of {
				if name != "" {
					all = append(all, string(name))
				}
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// listsAll reports whether the commits tell every file that is different now. Those of a new branch, and of one that was set back,
// do not.
func (p *pushHook) listsAll(before string) bool {
	return before != "" && len(p.Commits) > 0 && int64(p.Total) == int64(len(p.Commits))
}
