package gitlab

import (
	"context"
	"fmt"
	"net/http"
	"time"

	gl "gitlab.com/gitlab-org/api/client-go/v2"

	"kovra.dev/chatops/internal/kovra"
)

// SeenHook is the webhook of a project as GitLab has it.
type SeenHook struct {
	ID   int64 // 0: there is none with our URL
	Ours bool  // it has our name
	// Status is GitLab's alert_status: executable, temporarily_disabled or disabled; "" of a GitLab that tells none.
	Status string
	Until  time.Time // of one that is temporarily disabled
	Lacks  []string  // events that are wanted and not sent, as GitLab's page names them
}

// SeeHook looks for the project's webhook by our URL, as [Client.EnsureHook] does, and changes nothing. Denied: the token
// may not see webhooks.
func (c *Client) SeeHook(ctx context.Context, projectID int64, h Hook) (SeenHook, error) {
	hooks, err := c.hooks(ctx, projectID)
	if err != nil {
		return SeenHook{}, c.hookDenied(err)
	}
	k := oldestAt(hooks, h.URL)
	if k == nil {
		return SeenHook{}, nil
	}
	seen := SeenHook{ID: k.ID, Ours: k.Name == hookName, Status: k.AlertStatus, Lacks: lacks(k, h.Events)}
	if k.DisabledUntil != nil {
		seen.Until = *k.DisabledUntil
	}
	return seen, nil
}

// lacks names the events that a hook should send and does not.
func lacks(k *gl.ProjectHook, want HookEvents) []string {
	var out []string
	for _, e := range []struct {
		name         string
		wanted, sent bool
	}{
		{"Push events", true, k.PushEvents},
		{"Job events", true, k.JobEvents},
		{"Pipeline events", true, k.PipelineEvents},
		{"Tag push events", want.Tags, k.TagPushEvents},
		{"Merge request events", want.MergeRequests, k.MergeRequestsEvents},
		{"Comments", want.Notes, k.NoteEvents},
		{"Deployment events", want.Deployments, k.DeploymentEvents},
		{"Releases events", want.Releases, k.ReleasesEvents},
	} {
		if e.wanted && !e.sent {
			out = append(out, e.name)
		}
	}
	return out
}

// LastDelivery is how the newest delivery of a webhook ended: an HTTP status in digits, or GitLab's words; "": there was none in the
// days of which GitLab knows. NotFound: this GitLab does not tell (it does from 17.3 on, GET /projects/:id/hooks/:hook_id/events).
func (c *Client) LastDelivery(ctx context.Context, projectID, hook int64) (string, error) {
	var events []struct {
		Status string `json:"response_status"`
	}
	err := c.do(ctx, call{doing: "read how the last delivery of the webhook ended", noun: "such webhook"}, func(o gl.RequestOptionFunc) (*gl.Response, error) {
		req, err := c.gl.NewRequest(http.MethodGet, fmt.Sprintf("projects/%d/hooks/%d/events", projectID, hook), &gl.ListOptions{Page: 1, PerPage: 1}, []gl.RequestOptionFunc{o})
		if err != nil {
			return nil, err
		}
		return c.gl.Do(req, &events)
	})
	if err != nil || len(events) == 0 {
		return "", err
	}
	return shorten(events[0].Status), nil
}

// TestHook has GitLab send a sample by a webhook, of its newest pipeline or else of a push, and returns nil once it was answered
// with 2xx: that switches on one that GitLab had switched off. A pipeline is told once more as it is, which changes
// nothing. Class: it may be repeated. Invalid: it was sent, and the answer was no 2xx; Unavailable: GitLab was not
// reached, or allows no further test now (five in a minute).
func (c *Client) TestHook(ctx context.Context, projectID, hook int64) error {
	err := c.testHook(ctx, projectID, hook, gl.ProjectHookEventPipeline)
	if refusalSays(err, "ensure the project", http.StatusUnprocessableEntity) {
		err = c.testHook(ctx, projectID, hook, gl.ProjectHookEventPush)
	}
	return c.hookDenied(err)
}

func (c *Client) testHook(ctx context.Context, projectID, hook int64, event gl.ProjectHookEvent) error {
	return c.do(ctx, call{doing: "test the webhook", noun: "such webhook"}, func(o gl.RequestOptionFunc) (*gl.Response, error) {
		return c.gl.Projects.TriggerTestProjectHook(projectID, hook, event, o)
	})
}

// OwnToken is what GitLab says of the token that the client uses: when it ends, above all. An error with [kovra.ErrToken] says
// that it is not accepted; NotFound, that it is of a kind that cannot be asked about.
func (c *Client) OwnToken(ctx context.Context) (kovra.TokenSight, error) {
	t, err := fetch(ctx, c, call{doing: "read when the token ends", noun: "such token"},
		func(o gl.RequestOptionFunc) (*gl.PersonalAccessToken, *gl.Response, error) {
			return c.gl.PersonalAccessTokens.GetSinglePersonalAccessToken(o)
		})
	if err != nil {
		return kovra.TokenSight{}, err
	}
	s := kovra.TokenSight{ID: t.ID, Name: t.Name}
	if t.ExpiresAt != nil {
		s.Expires = time.Time(*t.ExpiresAt).UTC()
	}
	return s, nil
}
