package gitlab

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	gl "gitlab.com/gitlab-org/api/client-go/v2"

	"kovra.dev/chatops/internal/kovra"
)

// As returns a client that speaks to the same GitLab as a person, with an OAuth access token of theirs. It is cheap: make one for
// each thing that is done. It remembers nothing that another account has read, and knows how long GitLab wants this token's calls
// held back. What GitLab refuses it, it refuses that person; a token that is not accepted is an error of kind
// Unconnected, with [kovra.ErrToken] as its cause.
func (c *Client) As(token string) (*Client, error) {
	if strings.TrimSpace(token) == "" {
		return nil, kovra.Errorf(kovra.Invalid, "The GitLab token is empty.")
	}
	own, err := build(Options{Token: func() string { return token }, OAuth: true, Log: c.log, Now: c.now, Timeout: c.timeout}, c.base, c.http)
	if err != nil {
		return nil, err
	}
	own.people, own.wait = c.people, c.people.getOr(sha256.Sum256([]byte(token)), own.wait)
	return own, nil
}

// User is a user as GitLab describes them to somebody.
type User struct {
	kovra.GitLabUser
	// Email is the primary address, which only its owner sees; Confirmed says that GitLab knows it to be theirs.
	Email     string
	Confirmed bool
	// PublicEmail is the confirmed address that everybody may see; "": none.
	PublicEmail string
	Bot         bool
}

func userOf(u *gl.User) User {
	return User{
		GitLabUser: kovra.GitLabUser{ID: u.ID, Username: u.Username, Name: u.Name},
		Email:      u.Email, Confirmed: u.ConfirmedAt != nil, PublicEmail: u.PublicEmail, Bot: u.Bot,
	}
}

// Self returns whose token the client uses. Unlike [Client.Me] it asks each time.
func (c *Client) Self(ctx context.Context) (User, error) {
	u, err := fetch(ctx, c, call{doing: "read who you are", noun: "such a user"},
		func(o gl.RequestOptionFunc) (*gl.User, *gl.Response, error) { return c.gl.Users.CurrentUser(o) })
	if err != nil {
		return User{}, err
	}
	return userOf(u), nil
}

// User returns a user by id, as far as the client may see them.
func (c *Client) User(ctx context.Context, id int64) (User, error) {
	u, err := fetch(ctx, c, call{doing: "read the user " + strconv.FormatInt(id, 10), noun: "such a user"},
		func(o gl.RequestOptionFunc) (*gl.User, *gl.Response, error) {
			return c.gl.Users.GetUser(id, nil, o)
		})
	if err != nil {
		return User{}, err
	}
	return userOf(u), nil
}

// Level is the role in a project of the client's own user, as GitLab's number, inherited ones included; 0: none. A project that
// they may not see is NotFound.
func (c *Client) Level(ctx context.Context, projectID int64) (int, error) {
	p, err := fetch(ctx, c, call{doing: "read your role in the project", noun: "such project"},
		func(o gl.RequestOptionFunc) (*gl.Project, *gl.Response, error) {
			return c.gl.Projects.GetProject(projectID, nil, o)
		})
	if err != nil {
		return 0, err
	}
	level := 0
	if p.Permissions != nil && p.Permissions.ProjectAccess != nil {
		level = int(p.Permissions.ProjectAccess.AccessLevel)
	}
	if p.Permissions != nil && p.Permissions.GroupAccess != nil {
		level = max(level, int(p.Permissions.GroupAccess.AccessLevel))
	}
	if level > 0 {
		return level, nil
	}
	// Roles that come from above a group, or by an invited group, are told by the list of members alone.
	me, err := c.Me(ctx)
	if err != nil {
		return 0, err
	}
	return c.MemberLevel(ctx, projectID, me.ID)
}

// MemberLevel is the role of a user in a project, as GitLab's number, inherited ones included; 0: none.
func (c *Client) MemberLevel(ctx context.Context, projectID, userID int64) (int, error) {
	m, err := fetch(ctx, c, call{doing: "read a role in the project", noun: "such member"},
		func(o gl.RequestOptionFunc) (*gl.ProjectMember, *gl.Response, error) {
			return c.gl.ProjectMembers.GetInheritedProjectMember(projectID, userID, o)
		})
	if kovra.KindOf(err) == kovra.NotFound {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return int(m.AccessLevel), nil
}

// MayReadLogs reports whether the client's user may see the log of a job; job 0: whether they may see the project's pipelines.
// The log itself is opened, and closed again: there are jobs that Reporters may see and whose logs they may not, since they
// print every variable (CI_DEBUG_TRACE).
func (c *Client) MayReadLogs(ctx context.Context, projectID, jobID int64) (bool, error) {
	var err error
	if jobID != 0 {
		var log io.ReadCloser
		if log, err = c.Trace(ctx, projectID, jobID); err == nil {
			_ = log.Close() // nothing was read of it
		}
	} else {
		_, err = fetch(ctx, c, call{doing: "list the pipelines", noun: "such project"},
			func(o gl.RequestOptionFunc) ([]*gl.PipelineInfo, *gl.Response, error) {
				return c.gl.Pipelines.ListProjectPipelines(projectID, &gl.ListProjectPipelinesOptions{ListOptions: gl.ListOptions{PerPage: 1}}, o)
			})
	}
	if kind := kovra.KindOf(err); err != nil && !errors.Is(err, kovra.ErrToken) && (kind == kovra.NotFound || kind == kovra.Denied) {
		return false, nil
	}
	return err == nil, err
}

// Comment returns who wrote a comment on a merge request, and what stands in it now.
func (c *Client) Comment(ctx context.Context, projectID, mr, note int64) (kovra.GitLabUser, string, error) {
	n, err := fetch(ctx, c, call{doing: "read the comment", noun: "such comment"},
		func(o gl.RequestOptionFunc) (*gl.Note, *gl.Response, error) {
			return c.gl.Notes.GetMergeRequestNote(projectID, mr, note, o)
		})
	if err != nil {
		return kovra.GitLabUser{}, "", err
	}
	return kovra.GitLabUser{ID: n.Author.ID, Username: n.Author.Username, Name: n.Author.Name}, n.Body, nil
}

// Source returns the branch that a merge request comes from; "" where that is in a fork.
func (c *Client) Source(ctx context.Context, projectID, mr int64) (string, error) {
	m, err := fetch(ctx, c, call{doing: fmt.Sprintf("read merge request !%d", mr), noun: "such merge request"},
		func(o gl.RequestOptionFunc) (*gl.MergeRequest, *gl.Response, error) {
			return c.gl.MergeRequests.GetMergeRequest(projectID, mr, nil, o)
		})
	if err != nil || m.SourceProjectID != m.TargetProjectID {
		return "", err
	}
	return m.SourceBranch, nil
}

// Closed reports whether a branch is protected so that Developers may neither push to it nor merge into it. A branch that is gone
// is not. Nothing of it is remembered: somebody's rights depend on it.
func (c *Client) Closed(ctx context.Context, projectID int64, name string) (bool, error) {
	b, err := fetch(ctx, c, call{doing: "read branch " + shorten(name), noun: "such branch"},
		func(o gl.RequestOptionFunc) (*gl.Branch, *gl.Response, error) {
			return c.gl.Branches.GetBranch(projectID, name, o)
		})
	if kovra.KindOf(err) == kovra.NotFound {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return b.Protected && !b.DevelopersCanPush && !b.DevelopersCanMerge, nil
}

// ReplyNote answers in a discussion of a merge request; without a discussion it begins one. Class: at most once; after an
// Unclear end it must not be repeated.
func (c *Client) ReplyNote(ctx context.Context, projectID, mr int64, discussion, text string) error {
	what := call{doing: "answer in the merge request", noun: "such merge request", once: true}
	_, err := fetch(ctx, c, what, func(o gl.RequestOptionFunc) (*gl.Note, *gl.Response, error) {
		if discussion == "" {
			return c.gl.Notes.CreateMergeRequestNote(projectID, mr, &gl.CreateMergeRequestNoteOptions{Body: &text}, o)
		}
		return c.gl.Discussions.AddMergeRequestDiscussionNote(projectID, mr, discussion, &gl.AddMergeRequestDiscussionNoteOptions{Body: &text}, o)
	})
	return err
}
