package gitlab

import (
	"context"
	"errors"
	"net/http"
	"strings"

	gl "gitlab.com/gitlab-org/api/client-go/v2"

	"kovra.dev/chatops/internal/kovra"
)

const (
	hookPages = 10
	hookName  = "Kovra" // of the hooks that we make
)

// Hook is the webhook that a project needs. Secret and SigningToken may be empty,
// but not both.
type Hook struct {
	URL          string
	Secret       string // sent by GitLab as X-Gitlab-Token
	SigningToken string // whsec_…; GitLab signs with it where it can
	// Events are wanted beside those of pipelines, jobs and pushes.
	Events HookEvents
}

// HookEvents are what a webhook may send beside the usual. They are added, and never taken away.
type HookEvents struct {
	Tags, MergeRequests, Notes, Deployments, Releases bool
}

// FoundHook is the webhook that a project has.
type FoundHook struct {
	ID      int64
	Created bool // by this call
	Ours    bool // by us, now or before: it has our name
}

// EnsureHook makes the project's webhook, or mends the one that has our URL:
// events of pipelines, jobs and pushes, and the further ones that are wanted, our secrets, certificates checked; other
// events that somebody switched on stay on. Class: by precondition; it looks
// for our URL first, so it may be repeated after any error, and none is Unclear.
// Denied: the token may not manage webhooks.
func (c *Client) EnsureHook(ctx context.Context, projectID int64, h Hook) (FoundHook, error) {
	if h.URL == "" || (h.Secret == "" && h.SigningToken == "") {
		return FoundHook{}, kovra.Errorf(kovra.Invalid, "A webhook needs a URL and a secret.")
	}
	found, err := c.findHook(ctx, projectID, h.URL)
	if err != nil {
		return FoundHook{}, c.hookDenied(err)
	}
	if found.ID != 0 {
		return found, c.hookDenied(c.editHook(ctx, projectID, found.ID, h))
	}
	made, err := fetch(ctx, c, hookCall(h), func(o gl.RequestOptionFunc) (*gl.ProjectHook, *gl.Response, error) {
		return c.gl.Projects.AddProjectHook(projectID, &gl.AddProjectHookOptions{
			Name: new(hookName), URL: &h.URL, Token: optional(h.Secret), SigningToken: optional(h.SigningToken),
			PipelineEvents: new(true), JobEvents: new(true), PushEvents: new(true), TagPushEvents: ifSet(h.Events.Tags), MergeRequestsEvents: ifSet(h.Events.MergeRequests),
			NoteEvents: ifSet(h.Events.Notes), DeploymentEvents: ifSet(h.Events.Deployments), ReleasesEvents: ifSet(h.Events.Releases), EnableSSLVerification: new(true),
		}, o)
	})
	if err != nil {
		return FoundHook{}, c.hookDenied(err)
	}
	return FoundHook{ID: made.ID, Created: true, Ours: true}, nil
}

func hookCall(h Hook) call {
	return call{doing: "set up the webhook", noun: "such project", secrets: []string{h.Secret, h.SigningToken}}
}

// findHook returns the oldest hook with the URL; a zero one when there is none.
func (c *Client) findHook(ctx context.Context, projectID int64, url string) (FoundHook, error) {
	hooks, err := c.hooks(ctx, projectID)
	if err != nil {
		return FoundHook{}, err
	}
	if k := oldestAt(hooks, url); k != nil {
		return FoundHook{ID: k.ID, Ours: k.Name == hookName}, nil
	}
	return FoundHook{}, nil
}

func (c *Client) hooks(ctx context.Context, projectID int64) ([]*gl.ProjectHook, error) {
	hooks, _, err := collect(ctx, c, call{doing: "list the webhooks", noun: "such project"}, hookPages,
		func(n int64, o gl.RequestOptionFunc) ([]*gl.ProjectHook, *gl.Response, error) {
			return c.gl.Projects.ListProjectHooks(projectID, &gl.ListProjectHooksOptions{ListOptions: page(n)}, o)
		})
	return hooks, err
}

// oldestAt is the oldest hook with a URL; nil: there is none.
func oldestAt(hooks []*gl.ProjectHook, url string) *gl.ProjectHook {
	var found *gl.ProjectHook
	for _, k := range hooks {
		if sameURL(k.URL, url) && (found == nil || k.ID < found.ID) {
			found = k
		}
	}
	return found
}

func sameURL(a, b string) bool { return strings.TrimSuffix(a, "/") == strings.TrimSuffix(b, "/") }

func (c *Client) editHook(ctx context.Context, projectID, id int64, h Hook) error {
	_, err := fetch(ctx, c, hookCall(h), func(o gl.RequestOptionFunc) (*gl.ProjectHook, *gl.Response, error) {
		return c.gl.Projects.EditProjectHook(projectID, id, &gl.EditProjectHookOptions{
			URL: &h.URL, Token: optional(h.Secret), SigningToken: optional(h.SigningToken),
			PipelineEvents: new(true), JobEvents: new(true), PushEvents: new(true), TagPushEvents: ifSet(h.Events.Tags), MergeRequestsEvents: ifSet(h.Events.MergeRequests),
			NoteEvents: ifSet(h.Events.Notes), DeploymentEvents: ifSet(h.Events.Deployments), ReleasesEvents: ifSet(h.Events.Releases), EnableSSLVerification: new(true),
		}, o)
	})
	return err
}

// RemoveHook takes a webhook away; one that is gone already is fine. Class: by id.
func (c *Client) RemoveHook(ctx context.Context, projectID, id int64) error {
	err := c.do(ctx, call{doing: "remove the webhook", noun: "such webhook"}, func(o gl.RequestOptionFunc) (*gl.Response, error) {
		return c.gl.Projects.DeleteProjectHook(projectID, id, o)
	})
	if err != nil && kovra.KindOf(err) == kovra.NotFound {
		return nil
	}
	return c.hookDenied(err)
}

// hookDenied tells what right is missing. GitLab answers 404 to a token that may see
// the project but not its webhooks, and whoever gets here has seen the project.
func (c *Client) hookDenied(err error) error {
	r, ok := errors.AsType[*refusal](err)
	if !ok || (r.status != http.StatusForbidden && r.status != http.StatusNotFound) {
		return err
	}
	whose := "The bot's token"
	if c.person {
		whose = "You"
	}
	return &kovra.Error{
		Kind: kovra.Denied,
		Public: whose + " may not manage the webhooks of this project (GitLab answers " + r.said() +
			"); that needs the role Maintainer.",
		Err: err,
	}
}

// ifSet leaves alone what is not wanted.
func ifSet(v bool) *bool {
	if !v {
		return nil
	}
	return &v
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
