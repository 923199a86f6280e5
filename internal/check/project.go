package check

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

const (
	hookPage    = "<project_url>/-/hooks"
	enableHooks = "Enable webhooks below `/kovra hooks`"
	mendHook    = "In Slack: " + enableHooks + ", or `/kovra link APP <project>` once more"
)

var projectRows = []Row{
	{"gitlab.project.gone", Wrong, "The token does not see <project>: it is deleted, moved, or <bot> is no member of it.", "<gitlab>/<project>/-/project_members → Invite members: <bot>, as Maintainer. If it is gone, in a channel: `/kovra unlink`."},
	{"gitlab.project.role", Wrong, "<bot> may not see the webhooks of <project>; that needs the role Maintainer.", "<gitlab>/<project>/-/project_members: give <bot> the role Maintainer."},
	{"gitlab.project.unseen", Wrong, "<unseen> linked projects could not be looked at: <why>.", "Once more, with more time for all: `kovra check --timeout 5m`."},
	{"gitlab.hook.missing", Wrong, "<project> has no webhook to <hook>: Kovra learns of changes only by looking now and then.", "In a channel, once more: `/kovra link APP <project>`."},
	{"gitlab.hook.elsewhere", Wrong, "The webhook of <project> goes to <other>, not to <hook>.", "If KOVRA_PUBLIC_URL is right: `/kovra link APP <project>` makes the new one; delete the old one at " + hookPage + ". Else correct KOVRA_PUBLIC_URL."},
	{"gitlab.hook.disabled", Wrong, "GitLab has switched off the webhook of <project> (<status>), because deliveries failed.", "Mend what they failed of (" + hookPage + " → Edit → Recent events), then " + enableHooks + ", or Test → Push events there: an answer 200 switches it on again."},
	{"gitlab.hook.events", Wrong, "The webhook of <project> does not send: <events>.", mendHook + "; or tick them at " + hookPage + " → Edit."},
	{"gitlab.hook.secret", Wrong, "The webhook of <project> has no secret, so that what it sends is refused.", "In a channel, once more: `/kovra link APP <project>`; or put KOVRA_GITLAB_WEBHOOK_SECRET into Secret token at " + hookPage + " → Edit."},
	{"gitlab.hook.refused", Wrong, "The last delivery of the webhook of <project> was refused (401): its secret is not that of Kovra.", mendHook + ": each sets the secret right."},
	{"gitlab.hook.failing", Warning, "The last delivery of the webhook of <project> failed (<status>).", "See what was answered at " + hookPage + " → Edit → Recent events; GitLab must reach <hook>."},
	{"gitlab.hook.unverified", Warning, "The webhook of <project> does not verify certificates: whoever is in between can read its secret.", hookPage + " → Edit: Enable SSL verification."},
}

// hookPath is where GitLab's webhooks go.
const hookPath = "/webhooks/gitlab"

// hook is a webhook as GitLab tells of it.
type hook struct {
	ID     int64  `json:"id"`
	URL    string `json:"url"`
	Name   string `json:"name"`
	Verify bool   `json:"enable_ssl_verification"`
	Alert  string `json:"alert_status"` // executable, temporarily_disabled or disabled
	// Older versions of GitLab do not tell of these two.
	TokenPresent   *bool `json:"token_present"`
	SigningPresent *bool `json:"signing_token_present"`

	Pushes        bool `json:"push_events"`
	Tags          bool `json:"tag_push_events"`
	Pipelines     bool `json:"pipeline_events"`
	Jobs          bool `json:"job_events"`
	MergeRequests bool `json:"merge_requests_events"`
	Notes         bool `json:"note_events"`
	Deployments   bool `json:"deployment_events"`
	Releases      bool `json:"releases_events"`
}

// projects looks at the linked projects, some at a time, in their order.
func (l *look) projects(ctx context.Context, who string) []Finding {
	list := make([][]Finding, len(l.state.projects))
	var all errgroup.Group
	all.SetLimit(atOnce)
	for i, p := range l.state.projects {
		all.Go(func() error {
			list[i] = l.project(ctx, p, who)
			return nil
		})
	}
	_ = all.Wait() // what one could not be asked is a finding
	return append(slices.Concat(list...), unseen(list)...)
}

// unseen says of how many projects nothing is known, so that nobody takes silence for health.
func unseen(list [][]Finding) []Finding {
	n, why := 0, ""
	for _, of := range list {
		if of[0].Status == Skipped {
			n++
			why = cmp.Or(why, of[0].What)
		}
	}
	if n == 0 {
		return nil
	}
	return []Finding{found("gitlab.project.unseen", "projects", "unseen", fmt.Sprintf("%d of %d", n, len(list)), "why", why)}
}

// project looks at one project and its webhook.
func (l *look) project(ctx context.Context, p project, who string) []Finding {
	const id = "gitlab.project"
	args := []string{
		"bot", who, "project", p.Path, "gitlab", l.cfg.GitLabURL, "project_url", cmp.Or(p.URL, l.cfg.GitLabURL+"/"+p.Path), "hook", l.cfg.PublicURL + hookPath,
	}
	a, err := l.askGitLab(ctx, fmt.Sprintf("projects/%d", p.ID))
	if skipped := unanswered(a, err); skipped != "" {
		return []Finding{skip(id, p.Path, skipped)}
	}
	if a.status != http.StatusOK {
		return []Finding{found(id+".gone", p.Path, args...)}
	}
	hooks, a, err := l.hooks(ctx, p.ID)
	if skipped := unanswered(a, err); skipped != "" {
		return []Finding{skip(id, p.Path, skipped)}
	}
	if a.status != http.StatusOK {
		return []Finding{found(id+".role", p.Path, args...)}
	}
	list := []Finding{fine(id, p.Path, "seen, as Maintainer")}
	if !l.cfg.PublicURLSet {
		return append(list, skip("gitlab.hook", p.Path+" webhook", "KOVRA_PUBLIC_URL is "+l.unset("KOVRA_PUBLIC_URL")))
	}
	return append(list, l.hook(ctx, p, hooks, args)...)
}

// unanswered says why nothing is known after a question.
func unanswered(a *answer, err error) string {
	switch {
	case err != nil:
		return why(err)
	case a.status == http.StatusTooManyRequests || a.status >= http.StatusInternalServerError:
		return "GitLab answers " + a.said()
	}
	return ""
}

// hooks lists the webhooks of a project. There may be a hundred of them, which is a page.
func (l *look) hooks(ctx context.Context, project int64) ([]hook, *answer, error) {
	a, err := l.askGitLab(ctx, fmt.Sprintf("projects/%d/hooks?per_page=100", project))
	if err != nil || a.status != http.StatusOK {
		return nil, a, err
	}
	var list []hook
	if !a.decode(&list) {
		return nil, a, fmt.Errorf("its answer cannot be read")
	}
	return list, a, nil
}

// hook judges the webhook that a project has of ours.
func (l *look) hook(ctx context.Context, p project, hooks []hook, args []string) []Finding {
	const id = "gitlab.hook"
	subject, ours := p.Path+" webhook", l.cfg.PublicURL+hookPath
	i := slices.IndexFunc(hooks, func(h hook) bool { return strings.TrimSuffix(h.URL, "/") == ours })
	if i < 0 {
		if other := slices.IndexFunc(hooks, func(h hook) bool { return h.Name == "Kovra" || strings.HasSuffix(h.URL, hookPath) }); other >= 0 {
			return []Finding{found(id+".elsewhere", subject, append(args, "other", withoutUser(hooks[other].URL))...)}
		}
		return []Finding{found(id+".missing", subject, args...)}
	}
	h := hooks[i]
	var list []Finding
	bad := func(kind string, more ...string) {
		list = append(list, found(id+"."+kind, subject, append(args, more...)...))
	}
	if h.Alert != "" && h.Alert != "executable" {
		bad("disabled", "status", strings.ReplaceAll(h.Alert, "_", " "))
	}
	if missing := h.lacks(p); len(missing) > 0 {
		bad("events", "events", strings.Join(missing, ", "))
	}
	if h.secretless() {
		bad("secret")
	} else if status := l.lastDelivery(ctx, p.ID, h.ID); status == "401" {
		bad("refused")
	} else if status != "" && !strings.HasPrefix(status, "2") {
		bad("failing", "status", status)
	}
	if !h.Verify && strings.HasPrefix(ours, "https:") {
		bad("unverified")
	}
	if len(list) == 0 {
		return []Finding{fine(id, subject, "sends all that is wanted")}
	}
	return list
}

// withoutUser takes a user and a password out of an address.
func withoutUser(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "another address"
	}
	u.User = nil
	return u.String()
}

// lacks names the events that a hook should send and does not, as GitLab's page calls them.
func (h hook) lacks(p project) []string {
	var missing []string
	for _, e := range []struct {
		wanted, sent bool
		name         string
	}{
		{true, h.Pushes, "Push events"},
		{true, h.Pipelines, "Pipeline events"},
		{true, h.Jobs, "Job events"},
		{p.wants.Tags, h.Tags, "Tag push events"},
		{p.wants.MergeRequests, h.MergeRequests, "Merge request events"},
		{p.wants.Notes, h.Notes, "Comments"},
		{p.wants.Deployments, h.Deployments, "Deployment events"},
		{p.wants.Releases, h.Releases, "Releases events"},
	} {
		if e.wanted && !e.sent {
			missing = append(missing, e.name)
		}
	}
	return missing
}

// secretless says whether a hook surely has neither secret nor signing token.
func (h hook) secretless() bool {
	return h.TokenPresent != nil && !*h.TokenPresent && (h.SigningPresent == nil || !*h.SigningPresent)
}

// lastDelivery is how GitLab's last delivery of a hook ended, 200 or "internal error"; "": there was none, or GitLab does not tell, as
// before 17.3.
func (l *look) lastDelivery(ctx context.Context, project, id int64) string {
	a, err := l.askGitLab(ctx, fmt.Sprintf("projects/%d/hooks/%d/events?per_page=1", project, id))
	var events []struct {
		Status string `json:"response_status"`
	}
	if err != nil || a.status != http.StatusOK || !a.decode(&events) || len(events) == 0 {
		return ""
	}
	return events[0].Status
}
