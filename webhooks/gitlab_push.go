package webhooks

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

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
	Message  text             `json:"message"` // of an annotated tag
	Project  project          `json:"project"`
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
	before, _ := commitID(p.Before)
	object := after // of a tag: what its deletion will name
	if checkout, ok := commitID(p.Checkout); ok && isTag && after != "" {
		after = cmp.Or(checkout, after)
	}
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
	switch {
	case isTag:
		h.subjects = p.tagged(push, object, h.at)
	case after != "":
		h.subjects = []kovra.Subject{p.pushed(push, h.at)}
	}
	return nil
}

// pushed is the push of a branch as channels hear of it. GitLab does not tell when it was.
func (p *pushHook) pushed(push *kovra.Push, at time.Time) kovra.Subject {
	s := kovra.Subject{
		Kind: kovra.SubjectPush, Key: push.Ref + "@" + push.After, State: "pushed", Title: push.Title, By: push.Pusher,
		Ref: push.Ref, SHA: push.After, Created: push.Before == "", Count: max(int(p.Total), len(p.Commits)), UpdatedAt: at, MovedAt: at,
		URL: p.Project.at("commits", push.Ref),
	}
	if push.Before != "" {
		s.URL = p.Project.at("compare", push.Before+"..."+push.After)
	}
	newest := p.Commits[max(len(p.Commits)-kovra.MaxSubjectCommits, 0):]
	for i := range newest {
		c := &newest[i]
		if id, _ := commitID(c.ID); id != "" {
			s.Commits = append(s.Commits, kovra.Commit{
				SHA: id, Title: kovra.FirstLine(string(cmp.Or(c.Message, c.Title))), Author: kovra.GitLabUser{Name: string(c.Author.Name)},
			})
		}
	}
	return s
}

// tagged are the tags that the push made and took away: one that was moved is two. They are named by the object that they
// point to, which is the commit or, where the tag has a message, the tag itself.
func (p *pushHook) tagged(push *kovra.Push, object string, at time.Time) []kovra.Subject {
	var out []kovra.Subject
	if object != "" {
		out = append(out, kovra.Subject{
			Kind: kovra.SubjectTag, Key: push.Ref + "@" + object, State: "created", Title: cmp.Or(push.Title, kovra.FirstLine(string(p.Message))),
			By: push.Pusher, Ref: push.Ref, SHA: push.After, Created: push.Before == "", URL: p.Project.at("tags", push.Ref), UpdatedAt: at, MovedAt: at,
		})
	}
	if push.Before != "" && push.Before != object {
		gone := kovra.Subject{Kind: kovra.SubjectTag, Key: push.Ref + "@" + push.Before, State: "moved", Ref: push.Ref, UpdatedAt: at}
		if object == "" {
			gone.State, gone.MovedAt = "deleted", at
		}
		out = append(out, gone)
	}
	return out
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
